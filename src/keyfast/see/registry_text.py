"""Registry exports in text: ``.reg`` files of both formats, and what ``reg query`` prints.

Source of the format: the registry editor's files "REGEDIT4" (values in the ANSI code page) and "Windows Registry
Editor Version 5.00" (UTF-16, hexadecimal strings in UTF-16-LE). A continued value ends its line with a backslash.
"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from keyfast.see.client import Client, client, is_client_database, machine_in

LONGEST_VALUE = 65_536
_VALUE = re.compile(r'^(@|"((?:[^"\\]|\\.)*)")\s*=(.*)$', re.DOTALL)
_QUERY = re.compile(r"^\s+(.+?)(?:\t| {4})REG_([A-Z_]+)(?:(?:\t| {4})(.*))?$")
_ESCAPED = re.compile(r"\\(.)")
_HEX_DATA = re.compile(r"^hex(?:\(([0-9a-f]+)\))?:(.*)$", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"^(?:HKEY_|HK[A-Z]{1,2}\\|\\\\)", re.IGNORECASE)
_NAME = r'^(?:@|"(?:[^"\\]|\\.)*")\s*='
_HEX_VALUE = re.compile(_NAME + r"\s*hex", re.IGNORECASE)
_TEXT_VALUE = re.compile(_NAME + r'\s*"')
_CLOSED = re.compile(r'^(?:[^"\\]|\\.)*"')
_MOST_VALUES = 256
_STRINGS = frozenset({"1", "2", "7"})


class _Ends(Enum):
    """How a value ends: with its line, at a line without a backslash, or at a closing quote."""

    LINE = 0
    HEX = 1
    QUOTE = 2


class Damaged(NamedTuple):
    """A part of an export that could not be read.

    Attributes:
        lines: how many lines it is.
    """

    lines: int = 1


def read(lines: Iterable[str | None], machine: str) -> Iterator[Client | Damaged]:
    """Yield a client for every client database in an export.

    Args:
        lines: of the file; None for one that is damaged.
        machine: the computer where the export does not name one.
    """
    narrow = False
    key: _Key | None = None
    for line in lines:
        if line is None:
            yield Damaged()
            continue
        text = line.strip()
        narrow = narrow or text == "REGEDIT4"
        if path := _path(text):
            if key is not None:
                yield from key.end()
            key = _Key(machine_in(path) or machine, narrow=narrow) if is_client_database(path) else None
        elif key is not None:
            yield from key.take(line)
    if key is not None:
        yield from key.end()


class _Key:
    """Collects the values of one client database; a value may go on over several lines."""

    def __init__(self, machine: str, *, narrow: bool) -> None:
        self._machine = machine
        self._narrow = narrow
        self._values: dict[str, str] = {}
        self._parts: list[str] = []
        self._size = 0
        self._ending = _Ends.LINE

    def take(self, line: str) -> Iterator[Damaged]:
        """Take a line of the export."""
        first = not self._parts
        if first:
            if not line.strip():
                return
            self._ending = _begins(line)
        part = line.rstrip().removesuffix("\\") if self._ending is _Ends.HEX else line
        self._parts.append(part)
        self._size += len(part) + 1
        if self._size > LONGEST_VALUE:
            yield Damaged(len(self._parts))
            self._forget()
        elif self._over(line, first=first):
            yield from self._keep(("" if self._ending is _Ends.HEX else "\n").join(self._parts))
            self._forget()

    def end(self) -> Iterator[Client | Damaged]:
        """The key is over."""
        if self._parts:
            yield Damaged(len(self._parts))
        if self._values:
            yield client(self._machine, self._values)

    def _over(self, line: str, *, first: bool) -> bool:
        if self._ending is _Ends.HEX:
            return not line.rstrip().endswith("\\")
        return self._ending is _Ends.LINE or (not first and bool(_CLOSED.match(line)))

    def _keep(self, text: str) -> Iterator[Damaged]:
        found = _value(text, narrow=self._narrow)
        if found is None:
            yield Damaged()
        elif len(self._values) < _MOST_VALUES:
            self._values[found[0]] = found[1]

    def _forget(self) -> None:
        self._parts, self._size, self._ending = [], 0, _Ends.LINE


def _begins(line: str) -> _Ends:
    """How the value that a line begins ends."""
    text = line.strip()
    if text.endswith("\\") and _HEX_VALUE.match(text):
        return _Ends.HEX
    start = _TEXT_VALUE.match(text)
    return _Ends.QUOTE if start and not _CLOSED.match(text[start.end() :]) else _Ends.LINE


def _path(text: str) -> str:
    """The key that a line begins, empty for none; a key to be deleted (``[-...]``) is none of ours."""
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1]
    return text if _KEY.match(text) else ""


def _value(line: str, *, narrow: bool) -> tuple[str, str] | None:
    """A value's name and its text, an empty name for one that is not of interest, None if damaged."""
    if found := _VALUE.match(line.strip()):
        text = _data(found.group(3).strip(), narrow=narrow)
        return None if text is None else (_plain(found.group(2) or ""), text)
    if found := _QUERY.match(line):
        return found.group(1).strip(), found.group(3) or ""
    return None


def _data(text: str, *, narrow: bool) -> str | None:
    if text.startswith('"'):
        return _plain(text[1:-1]) if len(text) > 1 and text.endswith('"') else None
    found = _HEX_DATA.match(text)
    if found is None:
        return "" if text == "-" or text.lower().startswith("dword:") else None
    if found.group(1) not in _STRINGS:
        return ""
    try:
        raw = bytes(int(part, 16) for part in found.group(2).split(",") if part.strip())
    except ValueError:
        return None
    return raw.decode("cp1252" if narrow else "utf-16-le", "replace").split("\0", 1)[0]


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
