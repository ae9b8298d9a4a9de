"""What lies between a Linux block device and the disks under it: pure, from positive evidence only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keyfast.disks.lsblk import Device

# Layers that hand data through as it is. A kind that is not listed proves nothing.
_TRANSPARENT = re.compile(r"(disk|part|lvm|mpath|md|linear|raid\d+|dmraid|vdo|stratis)\Z")
# dm-verity and dm-integrity set up by cryptsetup look like encryption to lsblk and are not.
_NOT_ENCRYPTING = {"VERITY", "INTEGRITY"}
_CONTAINERS = {"crypto_LUKS": "luks", "BitLocker": "bitlocker"}
_TECHNOLOGY = {"LUKS1": "luks1", "LUKS2": "luks2", "BITLK": "bitlocker"}
_DM_UUID = re.compile(r"CRYPT-([A-Z0-9]+)-(?:([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})-)?")


@dataclass(frozen=True, slots=True)
class CryptLayer:
    """An open encrypted mapping.

    Attributes:
        mapping: the device that shows plain data.
        technology: ``luks2``, ``luks1``, ``luks``, ``bitlocker`` or ``dm-crypt`` (no header known).
        container: the device that holds the header and the encrypted data, if known.
        uuid: id of the container, empty if unknown.
    """

    mapping: Device
    technology: str
    container: Device | None
    uuid: str


@dataclass(frozen=True, slots=True)
class Stack:
    """All that a device lies on.

    Attributes:
        crypts: the topmost encrypted layer of each way down.
        plain: some way down meets no encryption at all.
        unclear: why some way down proves nothing, empty if all are clear.
        kinds: kinds of all devices met.
    """

    crypts: tuple[CryptLayer, ...]
    plain: bool
    unclear: str
    kinds: frozenset[str]


def container_technology(device: Device) -> str:
    """Return the technology that the first bytes of ``device`` announce, empty if none."""
    base = _CONTAINERS.get(device.fstype, "")
    return base + device.fsver if base == "luks" and device.fsver in {"1", "2"} else base


def stack_of(device: Device, devices: Mapping[str, Device], dm_uuids: Mapping[str, str]) -> Stack:
    """Follow ``device`` down to its disks; ``dm_uuids`` are device-mapper ids by kernel name."""
    crypts: list[CryptLayer] = []
    plain, unclear = False, ""
    seen: dict[str, Device] = {}
    ways = [device]
    while ways:
        here = ways.pop()
        if here.kname in seen:
            continue
        seen[here.kname] = here
        layer = _crypt_layer(here, devices, dm_uuids.get(here.kname, ""))
        if isinstance(layer, CryptLayer):
            crypts.append(layer)
            continue
        unclear = unclear or layer
        plain = plain or not (layer or here.parents)
        ways.extend(devices[parent] for parent in sorted(here.parents) if parent in devices)
    if not (crypts or plain or unclear):
        unclear = "the devices under it lie on each other"
    crypts.sort(key=lambda crypt: crypt.mapping.kname)
    return Stack(tuple(crypts), plain, unclear, frozenset(each.kind for each in seen.values()))


def _crypt_layer(device: Device, devices: Mapping[str, Device], dm_uuid: str) -> CryptLayer | str:
    """Return the encryption that ``device`` is; else why it proves nothing, or an empty string."""
    named = _DM_UUID.match(dm_uuid)
    if device.kind == "crypt":
        if named and named[1] in _NOT_ENCRYPTING:
            return ""
        return _mapping(device, devices, named)
    if container_technology(device):
        return f"{device.kname} holds encrypted data and yet shows a file system"
    if not _TRANSPARENT.match(device.kind):
        return f"{device.kname} is of a kind this version does not know: {device.kind or 'none'}"
    return ""


def _mapping(device: Device, devices: Mapping[str, Device], named: re.Match[str] | None) -> CryptLayer | str:
    parents = [devices[name] for name in sorted(device.parents) if name in devices]
    container = next((parent for parent in parents if container_technology(parent)), None)
    technology = container_technology(container) if container else ""
    uuid = container.uuid if container else ""
    if named:
        technology = _TECHNOLOGY.get(named[1], "dm-crypt")
        uuid = "-".join(named.groups()[1:]) if named[2] else uuid
        container = container or (parents[0] if len(parents) == 1 else None)
    if not technology:
        return f"{device.kname} is a mapping by cryptsetup of a kind that could not be read"
    return CryptLayer(device, technology, container, uuid)
