"""What endpoint and server say to each other: messages, limits, problem bodies."""
