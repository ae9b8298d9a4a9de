"""Bills of material of macOS packages ("BOMStore" files), as far as an installer reads them.

Apple documents the command ``mkbom`` and not the file. This is the structure that published readers agree on: blocks
with numbers, a few of them with names, and trees whose leaves have at most 256 keys. A key of the tree of paths is
(number of the folder, name), so the paths come level by level.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from keyfast.installers.tree import Entry

ROOT = "."
_HEAD = 512
_PAGE = 4096
_SMALL_PAGE = 128
_KEYS = 256
_FILE, _FOLDER, _LINK = 1, 2, 3
_TYPES = {_FILE: 0o100000, _FOLDER: 0o040000, _LINK: 0o120000}
_ANY_PROCESSOR = 3
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True, slots=True)
class Line:
    """What a bill says about one path.

    Attributes:
        path: below the root, without a leading slash; ``.`` is the root.
        kind: file, folder or link, as numbers of the format.
        mode: permission bits.
        size: bytes of a file's content or a link's target.
        check: checksum of those, as cksum(1).
        link: target of a link.
    """

    path: str
    kind: int
    mode: int
    size: int = 0
    check: int = 0
    link: str = ""


def line(entry: Entry) -> Line:
    """Return what a bill says about ``entry``."""
    if entry.is_folder:
        return Line(entry.path, _FOLDER, entry.mode)
    content = entry.link.encode() if entry.content is None else entry.content
    kind = _LINK if entry.link else _FILE
    return Line(entry.path, kind, entry.mode, len(content), cksum(content), entry.link)


def cksum(content: bytes) -> int:
    """The checksum of POSIX: the CRC of zlib with all bits the other way round, and the length in it."""
    length = len(content)
    tail = length.to_bytes((length.bit_length() + 7) // 8, "little")
    mirrored = zlib.crc32((content + tail).translate(_REVERSED), 0xFFFFFFFF)
    return int(f"{mirrored:032b}"[::-1], 2)


def bom(lines: Iterable[Line], at: int) -> bytes:
    """Return a bill of materials.

    Args:
        lines: the root first, every folder among them.
        at: time of all of them, unix seconds.
    """
    ordered = sorted(lines, key=_level_by_level)
    store = _Store()
    # version, number of paths (the format counts one more), one entry of unknown meaning
    store.name("BomInfo", struct.pack(">3I4I", 1, len(ordered) + 1, 1, 0, 0, 0, 0))
    store.name("Paths", _tree(store, _leaves(store, ordered, at), len(ordered)))
    store.name("HLIndex", _tree(store, [], 0))
    empty = store.add(_tree(store, [], 0, _SMALL_PAGE))
    store.name("VIndex", struct.pack(">3IB", 1, empty, 0, 0))
    store.name("Size64", _tree(store, [], 0))
    return store.content()


def _level_by_level(line: Line) -> tuple[int, tuple[str, ...]]:
    parts = PurePosixPath(line.path).parts
    return len(parts), parts


def _leaves(store: "_Store", ordered: Sequence[Line], at: int) -> list[tuple[int, int]]:
    """Add each path; return the numbers of its facts and of its key."""
    numbers = {"": 0}
    pairs = []
    for number, found in enumerate(ordered, start=1):
        numbers[found.path] = number
        facts = store.add(struct.pack(">2I", number, store.add(_facts(found, at))))
        key = struct.pack(">I", numbers[_parent(found.path)]) + PurePosixPath(found.path).name.encode() + b"\0"
        if found.path == ROOT:
            key = struct.pack(">I", 0) + b".\0"
        pairs.append((facts, store.add(key)))
    return pairs


def _parent(path: str) -> str:
    return "" if path == ROOT else str(PurePosixPath(path).parent)


def _facts(found: Line, at: int) -> bytes:
    mode = _TYPES[found.kind] | found.mode
    target = found.link.encode() + b"\0" if found.link else b""
    head = struct.pack(">BBHHIIII", found.kind, 1, _ANY_PROCESSOR, mode, 0, 0, at, found.size)
    return head + struct.pack(">BII", 1, found.check, len(target)) + target


def _tree(store: "_Store", pairs: Sequence[tuple[int, int]], count: int, page: int = _PAGE) -> bytes:
    """Add the pages of a tree, leaves that know their neighbours and one page above them; return its head."""
    parts = [pairs[start : start + _KEYS] for start in range(0, len(pairs), _KEYS)] or [()]
    first = store.next
    leaves = []
    for index, part in enumerate(parts):
        after = first + index + 1 if index + 1 < len(parts) else 0
        before = first + index - 1 if index else 0
        leaves.append((store.add(_page(1, part, after, before)), part[-1][1] if part else 0))
    top = leaves[0][0] if len(leaves) == 1 else store.add(_page(0, leaves, 0, 0))
    return struct.pack(">4s4IB", b"tree", 1, top, page, count, 0)


def _page(leaf: int, pairs: Sequence[tuple[int, int]], after: int, before: int) -> bytes:
    return struct.pack(">HHII", leaf, len(pairs), after, before) + b"".join(struct.pack(">II", *pair) for pair in pairs)


class _Store:
    """Blocks with numbers from 1, and names for some of them."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._names: list[tuple[str, int]] = []

    @property
    def next(self) -> int:
        """Number of the block that is added next."""
        return len(self._blocks) + 1

    def add(self, block: bytes) -> int:
        """Keep a block and return its number."""
        self._blocks.append(block)
        return len(self._blocks)

    def name(self, name: str, block: bytes) -> None:
        """Keep a block under a name."""
        self._names.append((name, self.add(block)))

    def content(self) -> bytes:
        """Return the file: head, names, blocks, table of blocks, empty list of free ones."""
        names = struct.pack(">I", len(self._names)) + b"".join(
            struct.pack(">IB", number, len(name)) + name.encode() for name, number in self._names
        )
        places, start = [(0, 0)], _HEAD + len(names)
        for block in self._blocks:
            places.append((start, len(block)))
            start += len(block)
        table = struct.pack(">I", len(places)) + b"".join(struct.pack(">II", *place) for place in places)
        table += struct.pack(">I", 0) + bytes(16)
        head = struct.pack(">8s6I", b"BOMStore", 1, len(self._blocks), start, len(table), _HEAD, len(names))
        return head.ljust(_HEAD, b"\0") + names + b"".join(self._blocks) + table
