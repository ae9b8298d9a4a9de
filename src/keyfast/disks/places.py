"""Which volumes a Linux machine has: what is mounted, what is swapped to, what is idle. Pure."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from keyfast.disks.findmnt import Mount
from keyfast.disks.layers import container_technology
from keyfast.disks.lsblk import SWAP, Device

Devices = Mapping[str, Device]

_NOT_VOLUMES = re.compile(r"/dev/(loop|zram|ram|sr|fuse)")
_BOOT = re.compile(r"/(boot|efi)(/|\Z)")
_POOLED = {"zfs", "bcachefs"}
"""File systems over several devices with encryption of their own: a pool is one volume."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where data lies, seen from its users.

    Attributes:
        name: device path or name of a pool; the id of the volume if there is no better.
        devices: the block devices that hold it, empty if there are none or they are not known.
        mount: the mount point that says most, empty if not mounted.
        role: ``os``, ``boot``, ``swap`` or ``data``.
        fstype: type of the mounted file system; ``swap``; empty for an idle device.
    """

    name: str
    devices: tuple[Device, ...]
    mount: str
    role: str
    fstype: str


def places(mounts: Iterable[Mount], devices: Devices) -> tuple[Place, ...]:
    """Return every volume in use."""
    return (*_mounted(mounts, devices), *_swaps(devices))


def idle(devices: Devices, used: Container[str]) -> tuple[Place, ...]:
    """Return every encrypted device that no volume in use lies on: locked, or open and not mounted."""
    return tuple(
        Place(device.path, (device,), "", "data", "")
        for device in devices.values()
        if container_technology(device) and device.kname not in used and not _NOT_VOLUMES.match(device.path)
    )


def _mounted(mounts: Iterable[Mount], devices: Devices) -> list[Place]:
    targets: dict[tuple[str, str, tuple[Device, ...]], list[str]] = {}
    for mount in mounts:
        if _is_volume(mount):
            members = _members(mount, devices)
            key = (_name(mount, members), mount.fstype, members)
            targets.setdefault(key, []).append(mount.target)
    return [
        Place(name, members, min(where, key=lambda target: (len(target), target)), _role(where), fstype)
        for (name, fstype, members), where in targets.items()
    ]


def _swaps(devices: Devices) -> list[Place]:
    return [
        Place(device.path, (device,), "", "swap", "swap")
        for device in devices.values()
        if SWAP in device.mounts and not _NOT_VOLUMES.match(device.path)
    ]


def _is_volume(mount: Mount) -> bool:
    if mount.target == "/":
        return True
    on_device = mount.source.startswith("/dev/") and not _NOT_VOLUMES.match(mount.source)
    return on_device or mount.fstype in _POOLED


def _members(mount: Mount, devices: Devices) -> tuple[Device, ...]:
    found = next((device for device in devices.values() if mount.source in device.names), None)
    if found is None and not mount.number.startswith("0:"):  # major 0 is a file system without a device
        found = next((device for device in devices.values() if mount.number and device.number == mount.number), None)
    if found is None:
        return ()
    if mount.fstype != "btrfs" or not found.uuid:
        return (found,)
    # btrfs names one of its devices as the source; all of them carry its id.
    return tuple(device for device in devices.values() if device.fstype == "btrfs" and device.uuid == found.uuid) or (
        found,
    )


def _name(mount: Mount, members: tuple[Device, ...]) -> str:
    if members:
        return members[0].path
    if mount.fstype in _POOLED:
        return mount.source.partition("/")[0] or mount.source
    return mount.source if mount.source.startswith("/dev/") else mount.target


def _role(targets: Iterable[str]) -> str:
    if "/" in targets:
        return "os"
    return "boot" if all(_BOOT.match(target) for target in targets) else "data"
