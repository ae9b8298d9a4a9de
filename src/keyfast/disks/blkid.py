"""Read ``blkid -p -o export``: what the first bytes of a device say, where udev did not say it (blkid(8))."""

from collections.abc import Mapping
from dataclasses import replace

from keyfast.disks.decode import read_text
from keyfast.disks.lsblk import Device

_PROBED_KINDS = {"disk", "part", "lvm", "md", "mpath"}
_NOTHING_HELD = "zram"


def unprobed(devices: Mapping[str, Device]) -> tuple[Device, ...]:
    """Return the idle devices to probe: none where udev has told at least one file system."""
    if any(device.fstype for device in devices.values()):
        return ()
    below = {parent for device in devices.values() for parent in device.parents}
    return tuple(
        device
        for device in devices.values()
        if not (device.mounts or device.kname in below or device.kname.startswith(_NOTHING_HELD))
        and device.size
        and (device.kind in _PROBED_KINDS or device.kind.startswith("raid"))
    )


def told(device: Device, text: bytes) -> Device:
    """Return ``device`` with what blkid said of it."""
    said = dict(line.partition("=")[::2] for line in read_text(text).splitlines() if "=" in line)
    return replace(device, fstype=said.get("TYPE", ""), fsver=said.get("VERSION", ""), uuid=said.get("UUID", ""))
