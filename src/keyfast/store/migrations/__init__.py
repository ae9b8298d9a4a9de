"""Schema history. A released revision is never changed; a new one is added."""
