"""Text as an argument of PowerShell, in commands that people paste."""

_QUOTES = (
    "'\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
    "\N{SINGLE LOW-9 QUOTATION MARK}\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"
)


def quoted(text: str) -> str:
    """Return ``text`` in single quotes; PowerShell takes five characters for one (about_Quoting_Rules)."""
    return "'" + "".join(character * 2 if character in _QUOTES else character for character in text) + "'"
