"""Lines of text files in any encoding that Windows tools write, streamed, with a limit on their length."""

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from keyfast.errors import UsageError

LONGEST_LINE = 65_536
"""Characters, or bytes where a character is a byte."""
_HEAD = 4096
_BOMS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))
_GZIP = b"\x1f\x8b"
_STEP = 1 << 20

Advance = Callable[[int], None]
"""Told how many bytes of the file on disk were read since the last call."""


def no_progress(_: int) -> None:
    """For readers whose progress nobody watches."""


def lines(path: Path, advance: Advance = no_progress) -> Iterator[str | None]:
    """Yield every line without its end; None for one that is too long or that ends with a damaged archive.

    The encoding is that of the byte order mark, else UTF-16 where every other byte is zero, else UTF-8 line by line,
    and Windows-1252 for lines that are not. A file compressed by gzip is read as what it contains.

    Raises:
        UsageError: the file cannot be opened.
    """
    try:
        with path.open("rb", buffering=0) as raw:
            disk = _Watched(raw, advance)
            plain: IO[bytes] = io.BufferedReader(disk, _STEP)
            if plain.peek(2)[:2] == _GZIP:  # type: ignore[attr-defined]
                plain = io.BufferedReader(gzip.GzipFile(fileobj=plain), LONGEST_LINE)
            yield from _guarded(plain)
            disk.finish()
    except OSError as cause:
        raise UsageError(f"cannot read {path}: {cause.strerror or cause}") from cause


def _guarded(plain: IO[bytes]) -> Iterator[str | None]:
    try:
        head = plain.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
        encoding, skip = _encoding(head)
        plain.read(skip)
        yield from _wide(plain, encoding) if encoding.startswith("utf-16") else _narrow(plain)
    except (EOFError, gzip.BadGzipFile, gzip.zlib.error):  # type: ignore[attr-defined]
        yield None


def _encoding(head: bytes) -> tuple[str, int]:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, len(mark)
    half = len(head) // 2
    if half and head[1::2].count(0) > 0.9 * half:
        return "utf-16-le", 0
    if half and head[0::2].count(0) > 0.9 * half:
        return "utf-16-be", 0
    return "utf-8", 0


def _narrow(plain: IO[bytes]) -> Iterator[str | None]:
    whole = True
    while chunk := plain.readline(LONGEST_LINE):
        ended = chunk.endswith(b"\n")
        if whole and (ended or len(chunk) < LONGEST_LINE):
            yield _decoded(chunk).rstrip("\r\n")
        elif whole:
            yield None
        whole = ended


def _wide(plain: IO[bytes], encoding: str) -> Iterator[str | None]:
    text = io.TextIOWrapper(plain, encoding, errors="replace", newline=None)
    whole = True
    while chunk := text.readline(LONGEST_LINE):
        ended = chunk.endswith("\n")
        if whole and (ended or len(chunk) < LONGEST_LINE):
            yield chunk.rstrip("\n")
        elif whole:
            yield None
        whole = ended


def _decoded(chunk: bytes) -> str:
    try:
        return chunk.decode("utf-8")
    except UnicodeDecodeError:
        return chunk.decode("cp1252", "replace")


class _Watched(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, raw: IO[bytes], advance: Advance) -> None:
        self._raw = raw
        self._advance = advance
        self._unsaid = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count: int = self._raw.readinto(buffer)  # type: ignore[attr-defined]
        self._unsaid += count
        if self._unsaid >= _STEP:
            self.finish()
        return count

    def finish(self) -> None:
        self._advance(self._unsaid)
        self._unsaid = 0
