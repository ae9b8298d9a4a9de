"""Files of packages on an administrator's disk: fetched whole or not at all, and recognised."""

import base64
import contextlib
import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from keyfast.cli.client import AdminClient
from keyfast.errors import NotFoundError, TrustError, UsageError
from keyfast.wire.packages import DIGEST_HEADER, FileCheck

CHUNK = 1024 * 1024
MAX_PACKED = 64 * CHUNK
MAX_UNPACKED = 4 * CHUNK
MAX_PARTS = 16
"""How much of a file, and of how many parts packed in it, is looked through for a package id."""
MAX_NAMED = 1000
_ANY_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_UUID_LENGTH = 36
_GZIP = b"\x1f\x8b\x08"
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


def fetch(client: AdminClient, package: str, target: Path, expected: str) -> None:
    """Download a package's file, check its digest, and only then give it its name; others cannot read it.

    Args:
        client: the admin API.
        package: its id.
        target: a file that does not exist yet.
        expected: SHA-256 on record (hex).

    Raises:
        UsageError: the file exists.
        TrustError: what arrived is not what is on record; nothing is left of it.
    """
    if target.exists():
        raise UsageError(f"{target} exists already", repair="name another file: -o FILE")
    part = target.with_name(f".{target.name}.part")
    try:
        with _private(part) as file:
            headers = client.download(f"/admin/v1/packages/{package}/file", file)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        announced = _DIGEST.search(headers.get(DIGEST_HEADER, ""))
        if announced is None or base64.b64decode(announced[1]) != found.digest() or found.hexdigest() != expected:
            raise TrustError(f"what arrived of package {package} is not what is on record", repair="download it again")
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _private(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def recognise(path: Path) -> FileCheck:
    """Read a file: its digest, and every package id that it may name.

    Raises:
        NotFoundError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        named = dict.fromkeys([*_uuids([path.name.encode()]), *_uuids(_unpacked(path)), *_uuids(_read(path))])
    except OSError as cause:
        raise NotFoundError(f"cannot read {path}: {cause.strerror}") from cause
    return FileCheck(digest, tuple(named)[:MAX_NAMED])


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _unpacked(path: Path) -> Iterator[bytes]:
    """The beginning of whatever is packed with gzip inside a file: a bundle, or a part of a .deb."""
    with path.open("rb") as file:
        content = file.read(MAX_PACKED)
    view, at = memoryview(content), -1
    for _ in range(MAX_PARTS):
        at = content.find(_GZIP, at + 1)
        if at < 0:
            return
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(view[at:], MAX_UNPACKED)


def _uuids(chunks: Iterable[bytes]) -> Iterator[str]:
    before = b""
    for chunk in chunks:
        for found in _ANY_UUID.findall(before + chunk):
            yield found.decode("ascii").lower()
        before = chunk[1 - _UUID_LENGTH :]
