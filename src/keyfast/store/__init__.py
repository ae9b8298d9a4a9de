"""What the server remembers: tables, one file of statements per noun, the group-commit writer."""
