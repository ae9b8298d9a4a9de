"""Archive formats as far as packages need them, by their specifications: ar(5), tar and gzip in pieces.

A base artefact keeps its archive compressed but unfinished: a stamp adds the secret file and the end, at the price
of those few bytes. The result is one ordinary gzip stream. (Several, one after the other, are allowed too, but not
every reader reads on: dpkg does for gzip and not for xz.)
"""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterable

from keyfast.installers.tree import Entry

END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
LEVEL = 6
_GZIP = 16  # zlib's flag for this container
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_CHECK = struct.Struct("<II")
_32_BITS = 0xFFFFFFFF
_AR_MAGIC = b"!<arch>\n"


def squeeze(data: bytes) -> bytes:
    """Compress; same bytes in, same bytes out."""
    return gzip.compress(data, LEVEL, mtime=0)


def begin(data: bytes) -> bytes:
    """Compress the first part of something: a gzip stream (RFC 1952) without its last block."""
    squeezer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    # Up to a byte, and with nothing in the window that what follows could refer to.
    body = squeezer.compress(data) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return _GZIP_HEAD + body + _CHECK.pack(zlib.crc32(data), len(data) & _32_BITS)


def begun_with(begun: bytes) -> bytes:
    """Return what ``begin`` was given."""
    return zlib.decompressobj(zlib.MAX_WBITS | _GZIP).decompress(open_end(begun))


def open_end(begun: bytes) -> memoryview:
    """Return the part of ``begun`` with which every ``finish`` of it starts."""
    return memoryview(begun)[: -_CHECK.size]


def finish(begun: bytes, rest: bytes) -> bytes:
    """Return the gzip stream of what ``begin`` was given and of ``rest``."""
    return b"".join((open_end(begun), ending(begun, rest)))


def ending(begun: bytes, rest: bytes) -> bytes:
    """Return what ``finish`` adds to the open end."""
    check, size = _CHECK.unpack(begun[-_CHECK.size :])
    squeezer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    tail = squeezer.compress(rest) + squeezer.flush()
    return tail + _CHECK.pack(zlib.crc32(rest, check), (size + len(rest)) & _32_BITS)


def tar_piece(entries: Iterable[Entry], at: int) -> bytes:
    """Return a tar archive without its end, so that pieces can follow one another.

    Args:
        entries: sorted, folders before what is in them.
        at: time of all of them, unix seconds.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            archive.addfile(*_member(entry, at))
        length = archive.offset
    return buffer.getvalue()[:length]


def _member(entry: Entry, at: int) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    info = tarfile.TarInfo(f"./{entry.path}")
    info.mode, info.mtime, info.uname, info.gname = entry.mode, at, "root", "root"
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(entry.content)
        return info, io.BytesIO(entry.content)
    return info, None


def ar(members: Iterable[tuple[str, bytes]], at: int) -> bytes:
    """Return an ar archive of named contents; names of at most 15 characters."""
    parts = [_AR_MAGIC]
    for name, content in members:
        parts.append(f"{name:<16}{at:<12}{0:<6}{0:<6}{0o100644:<8o}{len(content):<10}`\n".encode("ascii"))
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)
