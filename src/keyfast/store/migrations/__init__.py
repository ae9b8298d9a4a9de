"""Schema history. A released revision is never changed; a new one is added."""

HEAD = "0014"
"""The newest revision: the schema that this version needs."""
