"""Small registry hives for tests: keys with text values, laid out as Windows does (version 1.5, one bin).

Layout of the format: base block of 4096 bytes, then bins of cells; a cell's size is negative while it is in use.
"""

import struct
from collections.abc import Mapping
from typing import Any

BASE = 0x1000
_FILETIME = 0x01DB000000000000
_NONE = 0xFFFFFFFF
_ASCII = 0x20

Tree = Mapping[str, Any]
"""Subkeys by name; a text is a value."""


class Builder:
    """Lays out cells after one another."""

    def __init__(self) -> None:
        self.cells = bytearray(b"\0" * 32)

    def cell(self, body: bytes) -> int:
        """Add a cell; return its offset from the first bin."""
        size = (len(body) + 4 + 7) // 8 * 8
        offset = len(self.cells)
        self.cells += struct.pack("<i", -size) + body.ljust(size - 4, b"\0")
        return offset

    def key(self, name: str, parent: int, tree: Tree, *, root: bool = False) -> int:
        """Add a key with all that is below it."""
        subkeys = {child: inner for child, inner in tree.items() if isinstance(inner, Mapping)}
        values = {child: text for child, text in tree.items() if isinstance(text, str)}
        offset = self.cell(b"nk".ljust(76 + len(name), b"\0"))
        children = [(child, self.key(child, offset, inner)) for child, inner in subkeys.items()]
        listed = self.leaf(children) if children else _NONE
        held = self.values(values) if values else _NONE
        flags = _ASCII | (0x0C if root else 0)
        counts = (len(children), 0, listed, _NONE, len(values), held, _NONE, _NONE, 64, 0, 64, 64, 0)
        body = struct.pack("<2sHQII13IHH", b"nk", flags, _FILETIME, 0, parent, *counts, len(name), 0)
        body += name.encode("latin-1")
        self.cells[offset + 4 : offset + 4 + len(body)] = body
        return offset

    def leaf(self, children: list[tuple[str, int]]) -> int:
        """Add a list of subkeys."""
        rows = (struct.pack("<I4s", offset, name[:4].encode("latin-1").ljust(4, b"\0")) for name, offset in children)
        return self.cell(struct.pack("<2sH", b"lf", len(children)) + b"".join(rows))

    def values(self, values: Mapping[str, str]) -> int:
        """Add values and the list of them."""
        offsets = []
        for name, text in values.items():
            raw = text.encode("utf-16-le", "surrogatepass") + b"\0\0"
            data = self.cell(raw)
            head = struct.pack("<2sHIIIHH", b"vk", len(name), len(raw), data, 1, 1, 0)
            offsets.append(self.cell(head + name.encode("latin-1")))
        return self.cell(struct.pack(f"<{len(offsets)}I", *offsets))


def hive(tree: Tree, *, root: str = "ROOT", dirty: bool = False) -> bytes:
    """Return a hive."""
    builder = Builder()
    first = builder.key(root, _NONE, tree, root=True)
    size = (len(builder.cells) + 0xFFF) // 0x1000 * 0x1000
    left = size - len(builder.cells)
    if left:
        builder.cells += struct.pack("<i", left) + b"\0" * (left - 4)
    builder.cells[:32] = struct.pack("<4sIIQQI", b"hbin", 0, size, 0, _FILETIME, 0)
    base = struct.pack("<4sIIQIIIIII", b"regf", 8, 7 if dirty else 8, _FILETIME, 1, 5, 0, 1, first, size)
    base += struct.pack("<I", 1) + "SOFTWARE".encode("utf-16-le").ljust(64, b"\0")
    base = base.ljust(508, b"\0")
    checksum = 0
    for (word,) in struct.iter_unpack("<I", base):
        checksum ^= word
    return (base + struct.pack("<I", checksum)).ljust(BASE, b"\0") + bytes(builder.cells)
