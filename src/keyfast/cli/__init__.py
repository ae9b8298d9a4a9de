"""The ``keyfast`` command: noun and verb, one file per noun."""
