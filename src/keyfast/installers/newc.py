"""cpio archives of the kind that RPM packages hold ("newc", cpio(5)): one more member, one member less."""

from keyfast.errors import ConflictError

_MAGIC = b"070701"
_HEADER = 110
_LAST = b"TRAILER!!!"
_REGULAR = 0o100000
_FIELD = 8


def member(name: str, content: bytes, mode: int, at: int) -> bytes:
    """Return one file that belongs to root.

    Args:
        name: its path in the archive.
        content: its bytes.
        mode: permission bits.
        at: its time, unix seconds.
    """
    return _record(name.encode(), content, _REGULAR | mode, at)


def without(archive: bytes, name: str) -> bytes:
    """Return ``archive`` without its end and without the member ``name``, ready for others to follow.

    Raises:
        ConflictError: it is not such an archive, or has no such member.
    """
    start, kept, seen = 0, [], False
    while True:
        header = archive[start : start + _HEADER]
        if header[:6] != _MAGIC or len(header) < _HEADER:
            raise ConflictError("not a cpio archive of the kind in RPM packages")
        size, length = _number(header, 6), _number(header, 11)
        found = archive[start + _HEADER : start + _HEADER + length - 1]
        if found == _LAST:
            break
        end = _aligned(_aligned(start + _HEADER + length) + size)
        if found == name.encode():
            seen = True
        else:
            kept.append(archive[start:end])
        start = end
    if not seen:
        raise ConflictError(f"the archive has no member {name}")
    return b"".join(kept)


def _number(header: bytes, field: int) -> int:
    start = len(_MAGIC) + field * _FIELD
    return int(header[start : start + _FIELD], 16)


def _record(name: bytes, content: bytes, mode: int, at: int) -> bytes:
    # inode, mode, uid, gid, links, time, size, device, device of a device, length of the name, checksum
    fields = (0, mode, 0, 0, 1, at, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + name + b"\0"
    return _padded(_padded(head) + content)


def _padded(data: bytes) -> bytes:
    return data.ljust(_aligned(len(data)), b"\0")


def _aligned(length: int) -> int:
    return (length + 3) // 4 * 4


END = _record(_LAST, b"", 0, 0)
