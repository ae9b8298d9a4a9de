"""Read what a tool printed without ever believing that it is well-formed."""

from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_json(decoder: msgspec.json.Decoder[T], text: bytes | str) -> T | None:
    """Decode JSON; None for anything that is not of the expected shape."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def read_text(data: bytes) -> str:
    """Decode text in whatever encoding Windows chose: UTF-16 when a mark says so, else UTF-8 with losses."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def first_line(path: Path) -> str:
    """Return the first line of a file of the system without white space, empty if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[0].strip()
