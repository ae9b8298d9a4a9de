"""Archive formats as far as packages need them, by their specifications: ar(5), and tar in pieces.

A gzip file may be several, one after the other (RFC 1952, 2.2), and what is packed there may be cut anywhere. So
a base artefact keeps its archive compressed and without its end, and a stamp appends one more piece. (xz allows it
too, but dpkg reads only the first.)
"""

import gzip
import io
import tarfile
from collections.abc import Iterable

from keyfast.installers.tree import Entry

END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
LEVEL = 6
_AR_MAGIC = b"!<arch>\n"


def squeeze(data: bytes) -> bytes:
    """Compress; same bytes in, same bytes out."""
    return gzip.compress(data, LEVEL, mtime=0)


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
