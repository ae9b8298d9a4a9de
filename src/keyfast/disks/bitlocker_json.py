"""Read ``Get-BitLockerVolume | ConvertTo-Json``.

Its full output holds recovery passwords: they are not decoded, and no text of the tool is taken over but
mount points. Enumerations come as numbers, after remoting or with ``-EnumsAsStrings`` as names.
"""

import re
from typing import Any

import msgspec

from keyfast.disks import bitlocker
from keyfast.disks.decode import read_json, read_text
from keyfast.disks.volume import make
from keyfast.wire.messages import Volume

# Only what is read is asked for, so that recovery passwords do not even reach this process.
COMMAND = (
    "$ErrorActionPreference = 'Stop'; [Console]::OutputEncoding = [Text.Encoding]::UTF8; "
    "Get-BitLockerVolume | Select-Object MountPoint, EncryptionMethod, VolumeStatus, ProtectionStatus, "
    "LockStatus, EncryptionPercentage, VolumeType, CapacityGB, "
    "@{Name = 'KeyProtector'; Expression = {@($_.KeyProtector | Select-Object KeyProtectorType)}} | "
    "ConvertTo-Json -Depth 4"
)
ARGV = ("powershell", "-NoProfile", "-NonInteractive", "-Command", COMMAND)

_MOUNT_POINT = re.compile(r"[A-Z]:\Z|[A-Z]:\\[^\r\n]{1,250}\Z|\\\\\?\\Volume\{[0-9a-fA-F-]{36}\}\\\Z")
_SUSPENDED = "Suspended"  # the names some versions use for what others call paused
_Enum = int | str | None


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    mount_point: str
    volume_status: _Enum = None
    protection_status: _Enum = None
    lock_status: _Enum = None
    encryption_percentage: float | str | None = None
    encryption_method: _Enum = None
    volume_type: _Enum = None
    capacity: float | None = msgspec.field(name="CapacityGB", default=None)
    key_protector: Any = None


class _KeyProtector(msgspec.Struct, frozen=True, rename="pascal"):
    key_protector_type: _Enum = None


_many = msgspec.json.Decoder(tuple[_Entry, ...])
_one = msgspec.json.Decoder(_Entry)


def parse(output: bytes) -> tuple[Volume, ...] | None:
    """Return all volumes; None if ``output`` cannot be read."""
    text = read_text(output).strip()
    if text.startswith("["):
        entries = read_json(_many, text)
    else:
        single = read_json(_one, text)
        entries = None if single is None else (single,)
    if not entries or not all(_MOUNT_POINT.match(entry.mount_point) for entry in entries):
        return None
    return tuple(map(_volume, entries))


def _volume(entry: _Entry) -> Volume:
    facts = bitlocker.Facts(
        status=_name(entry.volume_status, bitlocker.STATUSES),
        protection=_name(entry.protection_status, bitlocker.PROTECTIONS),
        method=_name(entry.encryption_method, bitlocker.METHODS),
        percent=_percent(entry.encryption_percentage),
        protectors=_protectors(entry.key_protector),
        locked=_name(entry.lock_status, ("Unlocked", "Locked")) == "Locked",
    )
    role = "os" if _name(entry.volume_type, ("OperatingSystem", "Data")) == "OperatingSystem" else "data"
    size = bitlocker.size_of(entry.capacity)
    return make(bitlocker.judge(facts), id_=entry.mount_point, mount=entry.mount_point, role=role, size=size)


def _name(value: _Enum, names: tuple[str, ...]) -> str:
    if isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""
    name = (value or "").replace(_SUSPENDED, "Paused")
    return name if name in names else ""


def _percent(value: float | str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _protectors(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):  # Windows PowerShell 5.1 may wrap a list, or unwrap a list of one
        value = value.get("value", [value])
    entries = value if isinstance(value, list) else []
    kinds = [_protector(entry) for entry in entries]
    return tuple(kind for kind in kinds if kind)


def _protector(entry: Any) -> str:
    try:
        kind = msgspec.convert(entry, _KeyProtector).key_protector_type
    except msgspec.ValidationError:
        return bitlocker.PROTECTORS[0]
    return _name(kind, bitlocker.PROTECTORS) or bitlocker.PROTECTORS[0]
