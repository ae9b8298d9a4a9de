"""The xar archive around a macOS package: a compressed table of contents in XML, then the files as they are."""

import hashlib
import struct
import zlib
from collections.abc import Iterable
from xml.etree import ElementTree as ET

_HEAD = struct.Struct(">4sHHQQI")
_VERSION = 1
_SHA1 = 1


def xar(files: Iterable[tuple[str, bytes]], created: str) -> bytes:
    """Return an archive of files in its top folder.

    Args:
        files: name and content.
        created: time in the table of contents, ``2026-01-31T12:00:00``.
    """
    root = ET.Element("xar")
    contents = ET.SubElement(root, "toc")
    ET.SubElement(contents, "creation-time").text = created
    _checksum(contents)
    # The heap starts with the checksum of the table, which comes before it in the file.
    heap, start = [], hashlib.sha1(usedforsecurity=False).digest_size
    for number, (name, content) in enumerate(files, start=1):
        _file(contents, number, name, content, start)
        heap.append(content)
        start += len(content)
    plain = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    packed = zlib.compress(plain)
    head = _HEAD.pack(b"xar!", _HEAD.size, _VERSION, len(packed), len(plain), _SHA1)
    return b"".join((head, packed, hashlib.sha1(packed, usedforsecurity=False).digest(), *heap))


def _checksum(contents: ET.Element) -> None:
    checksum = ET.SubElement(contents, "checksum", style="sha1")
    ET.SubElement(checksum, "offset").text = "0"
    ET.SubElement(checksum, "size").text = str(hashlib.sha1(usedforsecurity=False).digest_size)


def _file(contents: ET.Element, number: int, name: str, content: bytes, start: int) -> None:
    """The format's own digest is SHA-1; it tells damage, and a signature would protect it."""
    file = ET.SubElement(contents, "file", id=str(number))
    data = ET.SubElement(file, "data")
    check = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    for tag, text in (("length", len(content)), ("offset", start), ("size", len(content))):
        ET.SubElement(data, tag).text = str(text)
    ET.SubElement(data, "encoding", style="application/octet-stream")
    for tag in ("extracted-checksum", "archived-checksum"):
        ET.SubElement(data, tag, style="sha1").text = check
    for tag, value in (("name", name), ("type", "file"), ("mode", "0644"), ("uid", "0"), ("gid", "0")):
        ET.SubElement(file, tag).text = value
