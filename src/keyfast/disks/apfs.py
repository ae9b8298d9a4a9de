"""Read ``diskutil apfs list -plist`` (diskutil(8)): all APFS volumes of a Mac."""

import plistlib
from typing import Any

import msgspec

ARGV = ("diskutil", "apfs", "list", "-plist")


class ApfsVolume(msgspec.Struct, frozen=True):
    """One APFS volume, as diskutil names its members; None is what it did not say."""

    uuid: str = msgspec.field(name="APFSVolumeUUID")
    device: str = msgspec.field(name="DeviceIdentifier")
    encryption: bool | None = msgspec.field(name="Encryption", default=None)
    file_vault: bool | None = msgspec.field(name="FileVault", default=None)
    locked: bool | None = msgspec.field(name="Locked", default=None)
    changing: bool = msgspec.field(name="CryptoMigrationOn", default=False)
    roles: tuple[str, ...] = msgspec.field(name="Roles", default=())


class _Container(msgspec.Struct, frozen=True):
    volumes: tuple[ApfsVolume, ...] = msgspec.field(name="Volumes", default=())
    capacity: int = msgspec.field(name="CapacityCeiling", default=0)


class _Answer(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...] = msgspec.field(name="Containers")


def parse(output: bytes) -> tuple[tuple[ApfsVolume, int], ...] | None:
    """Return every volume with the size of its container in bytes; None if ``output`` cannot be read."""
    try:
        answer = msgspec.convert(_plist(output), _Answer)
    except msgspec.ValidationError:
        return None
    return tuple((volume, each.capacity) for each in answer.containers for volume in each.volumes) or None


def _plist(output: bytes) -> Any:
    try:
        return plistlib.loads(output, fmt=plistlib.FMT_XML)
    except Exception:  # noqa: BLE001 - plistlib lets through whatever its parts raise; all of it means damaged
        return None
