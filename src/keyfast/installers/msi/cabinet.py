"""A cabinet of one file, not compressed: small enough to write, and the content never touches another file."""

import struct

_HEADER = struct.Struct("<4sIIIIIBBHHHHH")
_FOLDER = struct.Struct("<IHH")
_FILE = struct.Struct("<IIHHHH")
_BLOCK = struct.Struct("<IHH")
_LARGEST = 0x8000
_ARCHIVE = 0x20
# 1980-01-01, the first moment a cabinet can name: the same content gives the same bytes.
_DATE, _TIME = 1 << 5 | 1, 0


def cabinet(name: str, content: bytes) -> bytes:
    """Return a cabinet (MS-CAB) with one file.

    Args:
        name: ASCII; in an MSI the primary key in the File table.
        content: of the file.
    """
    file = _FILE.pack(len(content), 0, 0, _DATE, _TIME, _ARCHIVE) + name.encode("ascii") + b"\0"
    pieces = [content[at : at + _LARGEST] for at in range(0, len(content), _LARGEST)]
    blocks = b"".join(_block(piece) for piece in pieces)
    files_at = _HEADER.size + _FOLDER.size
    data_at = files_at + len(file)
    size = data_at + len(blocks)
    header = _HEADER.pack(b"MSCF", 0, size, 0, files_at, 0, 3, 1, 1, 1, 0, 0, 0)
    return header + _FOLDER.pack(data_at, len(pieces), 0) + file + blocks


def _block(piece: bytes) -> bytes:
    lengths = struct.pack("<HH", len(piece), len(piece))
    return _BLOCK.pack(_checksum(lengths, _checksum(piece, 0)), len(piece), len(piece)) + piece


def _checksum(data: bytes, seed: int) -> int:
    """Return the format's checksum: words added without carry; the last bytes count in reverse order."""
    whole = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        seed ^= word
    return seed ^ int.from_bytes(data[whole:], "big")
