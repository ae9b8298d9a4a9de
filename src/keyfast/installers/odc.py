"""cpio archives of the kind that macOS packages hold ("odc", cpio(5)), in pieces."""

from collections.abc import Iterable

from keyfast.installers.tree import Entry

_KINDS = {"file": 0o100000, "folder": 0o040000, "link": 0o120000}


def piece(entries: Iterable[Entry], at: int) -> bytes:
    """Return an archive without its end, so that pieces can follow one another; everything belongs to root.

    Args:
        entries: folders before what is in them.
        at: time of all of them, unix seconds.
    """
    return b"".join(_record(entry, at) for entry in entries)


def _record(entry: Entry, at: int) -> bytes:
    if entry.is_folder:
        return _bytes(entry.path, b"", _KINDS["folder"] | entry.mode, at)
    if entry.link:
        return _bytes(entry.path, entry.link.encode(), _KINDS["link"] | 0o755, at)
    return _bytes(entry.path, entry.content or b"", _KINDS["file"] | entry.mode, at)


def _bytes(path: str, content: bytes, mode: int, at: int) -> bytes:
    name = (path if path in {".", "TRAILER!!!"} else f"./{path}").encode() + b"\0"
    # magic, device, inode, mode, user, group, links, device of a device; time; length of the name; size
    head = "070707" + "".join(f"{value:06o}" for value in (0, 0, mode, 0, 0, 1, 0))
    return f"{head}{at:011o}{len(name):06o}{len(content):011o}".encode("ascii") + name + content


END = _bytes("TRAILER!!!", b"", 0, 0)
