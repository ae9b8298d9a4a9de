"""Files of a package before any format: paths, modes and contents; everything belongs to root."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keyfast.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, symbolic link or folder.

    Attributes:
        path: below the root of the file system, without a leading slash.
        mode: permission bits.
        content: bytes of a file, None for anything else.
        link: target of a symbolic link, empty for anything else.
    """

    path: str
    mode: int = 0o755
    content: bytes | None = None
    link: str = ""

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.content is None and not self.link


def with_folders(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return ``entries`` sorted by path, with every folder above them.

    A sorted list has each folder before what is in it, which all formats ask for.
    """
    found = {entry.path: entry for entry in entries}
    for path in list(found):
        for folder in PurePosixPath(path).parents:
            name = str(folder)
            if name != "." and name not in found:
                found[name] = Entry(name)
    return tuple(found[path] for path in sorted(found))


def digest(entries: Iterable[Entry]) -> str:
    """Return a digest (hex) of all that ``entries`` say."""
    total = hashlib.sha256()
    for entry in entries:
        content = hashlib.sha256(entry.content or b"").hexdigest()
        total.update(f"{entry.path}\0{entry.mode:o}\0{entry.link}\0{entry.content is None}\0{content}\n".encode())
    return total.hexdigest()


def merged(trees: Iterable[Path]) -> dict[str, bytes]:
    """Return the files of several folders as one: relative path to content.

    Compiled modules carry the version of Python in their names, so libraries for several versions fit into one
    folder.

    Raises:
        ConflictError: two folders have different files of one name.
    """
    found: dict[str, bytes] = {}
    for tree in trees:
        for path in sorted(tree.rglob("*")):
            if not path.is_file():
                continue
            name, content = path.relative_to(tree).as_posix(), path.read_bytes()
            if found.setdefault(name, content) != content:
                raise ConflictError(f"the agent's libraries differ between versions of Python: {name}")
    return found


def shared(kinds: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """Split the libraries of several processors: what is the same for all under ``""``, the rest under its processor.

    A library (a first part of a path) is never split: it would not find its other half.

    Args:
        kinds: processor to relative path to content.
    """
    everywhere: set[str] | None = None
    for files in kinds.values():
        tops = {path.split("/", 1)[0] for path in files}
        everywhere = tops if everywhere is None else everywhere & tops
    same = {top for top in everywhere or () if len({_digest_below(files, top) for files in kinds.values()}) == 1}
    first = next(iter(kinds.values()), {})
    parts = {"": {path: content for path, content in first.items() if path.split("/", 1)[0] in same}}
    for kind, files in kinds.items():
        parts[kind] = {path: content for path, content in files.items() if path.split("/", 1)[0] not in same}
    return parts


def _digest_below(files: Mapping[str, bytes], top: str) -> str:
    return digest(Entry(path, content=files[path]) for path in sorted(files) if path.split("/", 1)[0] == top)
