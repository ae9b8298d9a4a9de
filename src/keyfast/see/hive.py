r"""Offline hives: ``SOFTWARE`` of a machine, or what ``reg save`` wrote of a part of it.

The format is regipy's business. It keeps a hive in memory, and a hive made to harm could let it walk for hours; so
what it begins with is looked at first, the keys it may pass are counted, and whatever it raises is a damaged file.
"""

import logging
import struct
from pathlib import Path
from typing import Any

from keyfast.errors import MissingToolError, UsageError
from keyfast.see.client import KEY, Client, client
from keyfast.see.registry_text import Damaged

LARGEST = 1 << 30
MOST_KEYS = 200_000
MOST_VALUES = 256
_LONGEST = 4096
_BASE = 0x1000
_ROOT = 0x20
_TEXTS = frozenset({"REG_SZ", "REG_EXPAND_SZ", "REG_MULTI_SZ"})


class _TooMuchError(Exception):
    """The hive has more keys than a client database can lie behind."""


def is_hive(path: Path) -> bool:
    """Whether a file begins as a hive does.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"regf"
    except OSError as cause:
        raise UsageError(f"cannot read {path}: {cause.strerror or cause}") from cause


def read(path: Path, machine: str) -> Client | Damaged | None:
    """Return the client that a hive tells of, None if it has no client database.

    Raises:
        UsageError: the file cannot be read.
        MissingToolError: regipy is not installed.
    """
    library = _load()
    try:
        sound = _sound(path)
        values = _values(library(str(path))) if sound else None
    except OSError as cause:
        raise UsageError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a stranger's file in a foreign parser: whatever it is, the file is damaged
        return Damaged()
    if not sound:
        return Damaged()
    return client(machine, values) if values is not None else None


def is_dirty(path: Path) -> bool:
    """Whether changes to a hive may still lie in its log files: its two sequence numbers differ."""
    with path.open("rb") as file:
        head = file.read(12)
    return len(head) == 12 and head[4:8] != head[8:12]  # noqa: PLR2004 - signature and two numbers


def _load() -> Any:
    try:
        from regipy.registry import RegistryHive  # noqa: PLC0415 - an optional extra
    except ImportError as cause:
        raise MissingToolError(
            "offline hives need the Python package regipy", repair="pip install 'keyfast[see]'"
        ) from cause
    # It reports damaged parts with bytes of the file in the message; they are counted here instead.
    logging.getLogger("regipy").setLevel(logging.CRITICAL + 1)
    return RegistryHive


def _sound(path: Path) -> bool:
    """Whether the root key lies where the library looks for it, as it does in every hive that Windows wrote.

    One that is larger than any hive is not sound either: it would be read into memory.
    """
    if path.stat().st_size > LARGEST:
        return False
    with path.open("rb") as file:
        head = file.read(_BASE + _ROOT + 6)
    if len(head) < _BASE + _ROOT + 6 or head[:4] != b"regf" or head[_BASE : _BASE + 4] != b"hbin":
        return False
    (root,) = struct.unpack_from("<I", head, 0x24)
    (size,) = struct.unpack_from("<i", head, _BASE + _ROOT)
    return bool(root == _ROOT and size < 0 and head[_BASE + _ROOT + 4 :] == b"nk")


def _values(hive: Any) -> dict[str, str] | None:
    passed = 0
    starts = [("WOW6432NODE", *KEY), *(KEY[place:] for place in range(len(KEY) + 1))]
    for path in starts:
        key = hive.root
        if not path and key.name.upper() != KEY[-1]:
            continue
        for wanted in path:
            key, seen = _step(key, wanted, MOST_KEYS - passed)
            passed += seen
            if key is None:
                break
        if key is not None:
            return _texts(key)
    return None


def _step(key: Any, wanted: str, budget: int) -> tuple[Any, int]:
    """The subkey of a name, None without one; and how many keys were passed on the way."""
    seen = 0
    for found in key.iter_subkeys() or ():
        seen += 1
        if seen > budget:
            raise _TooMuchError
        if found.name.upper() == wanted:
            return found, seen
    return None, seen


def _texts(key: Any) -> dict[str, str]:
    found = {}
    for number, value in enumerate(key.iter_values(trim_values=False) or ()):
        if number >= MOST_VALUES:
            break
        text = value.value if str(value.value_type) in _TEXTS else ""
        text = "".join(text[:1]) if isinstance(text, list) else text
        found[str(value.name)] = str(text).split("\0", 1)[0][:_LONGEST]
    return found
