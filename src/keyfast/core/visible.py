"""Text of strangers, made safe to look at: what cannot be seen or changes its surroundings is written out."""

import unicodedata

LONGEST = 256
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, longest: int = LONGEST) -> str:
    r"""Return ``text`` with everything invisible written as ``\xNN`` or ``\uNNNN``, and cut to ``longest``.

    Terminal escapes, line breaks, bidirectional and zero-width marks and lone surrogates lose their effect. What
    one kind of output treats specially (markup, formulas) is the business of that output.
    """
    shown = "".join(_shown(character) for character in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if code > 0xFFFF:  # noqa: PLR2004 - beyond it, Python writes eight digits
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - Python's own notation
