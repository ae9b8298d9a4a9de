"""The volumes of a Linux machine, by findmnt, lsblk, blkid and cryptsetup.

A drive that encrypts itself without the kernel's knowledge (OPAL set up by firmware) looks plain here.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from keyfast.disks import blkid, findmnt, lsblk, luks
from keyfast.disks.decode import first_line
from keyfast.disks.layers import CryptLayer, Stack, container_technology, stack_of
from keyfast.disks.lsblk import Device
from keyfast.disks.places import Place, idle, places
from keyfast.disks.runner import CommandRunner, Result, why
from keyfast.disks.verdict import verdict
from keyfast.disks.volume import State, make, with_system
from keyfast.wire.messages import Protection, Volume

_DM_NAME = re.compile(r"dm-\d+\Z")
_NOT_VOLUMES = frozenset({"loop", "rom"})
_PROBE_S = 5.0
_DUMPS = (
    ("luks2", ("--dump-json-metadata",), luks.parse_luks2),
    ("luks1", (), luks.parse_luks1),
)


class LinuxDisks:
    """Reads the volumes of this Linux machine.

    Args:
        runner: runs the tools.
        root: where ``/sys`` is found.
    """

    def __init__(self, runner: CommandRunner, root: Path = Path("/")) -> None:
        self._runner = runner
        self._root = root

    def volumes(self) -> tuple[Volume, ...]:
        """See ``Disks.volumes``."""
        result = self._runner.run(findmnt.ARGV)
        mounts = findmnt.parse(result.stdout) if result.code == 0 else None
        devices, trouble = self._devices()
        reading = _Reading(self._runner, devices, self._dm_uuids(devices), trouble)
        found = [*filter(None, map(reading.in_use, places(mounts or (), devices)))]
        found += [reading.idle(place) for place in idle(devices, reading.used)]
        no_root = why("findmnt", result) if mounts is None else "findmnt shows no root file system"
        return with_system(found, no_root)

    def _devices(self) -> tuple[Mapping[str, Device], str]:
        result = Result(0)
        for columns in lsblk.COLUMNS:
            result = self._runner.run(("lsblk", "-J", "-b", "-o", columns))
            devices = lsblk.parse(result.stdout) if result.code == 0 else None
            if devices is not None:
                return self._probed(devices), ""
        return {}, why("lsblk", result)

    def _probed(self, devices: dict[str, Device]) -> dict[str, Device]:
        for device in blkid.unprobed(devices):
            result = self._runner.run(("blkid", "-p", "-o", "export", device.path), timeout=_PROBE_S)
            if result.code == 0:
                devices[device.kname] = blkid.told(device, result.stdout)
        return devices

    def _dm_uuids(self, devices: Mapping[str, Device]) -> dict[str, str]:
        return {
            name: first_line(self._root / "sys/block" / name / "dm/uuid") for name in filter(_DM_NAME.match, devices)
        }


class _Reading:
    """One look at the machine: asks cryptsetup once for each encrypted layer."""

    def __init__(
        self, runner: CommandRunner, devices: Mapping[str, Device], dm_uuids: Mapping[str, str], trouble: str
    ) -> None:
        self._runner = runner
        self._devices = devices
        self._dm_uuids = dm_uuids
        self._trouble = trouble
        self._states: dict[str, State] = {}
        self.used: set[str] = set()

    def in_use(self, place: Place) -> Volume | None:
        """Judge a mounted or swap volume; None for what lies in a file or on a disc."""
        stacks = [stack_of(device, self._devices, self._dm_uuids) for device in place.devices]
        crypts = [crypt for stack in stacks for crypt in stack.crypts]
        containers = [crypt.container for crypt in crypts if crypt.container]
        self.used |= {device.kname for device in (*place.devices, *containers)}
        kinds = {container.kind for container in containers}.union(*(stack.kinds for stack in stacks))
        if kinds & _NOT_VOLUMES and place.role != "os":
            return None
        state = self._judge(place, stacks, crypts)
        size = sum(device.size for device in place.devices)
        return make(state, id_=_id(place, crypts), mount=place.mount, role=place.role, size=size)

    def idle(self, place: Place) -> Volume:
        """Judge an encrypted device that nothing uses."""
        device = place.devices[0]
        state = self._header(device, container_technology(device))
        return make(state, id_=device.uuid or place.name, role=place.role, size=device.size)

    def _judge(self, place: Place, stacks: list[Stack], crypts: list[CryptLayer]) -> State:
        if not place.devices:
            without_device = f"{place.fstype or 'the file system'} lies on no block device that lsblk shows"
            return State(detail=self._trouble or without_device)
        return verdict(place.fstype, stacks, [self._layer(crypt) for crypt in crypts])

    def _layer(self, crypt: CryptLayer) -> State:
        known = self._states.get(crypt.mapping.kname)
        if known is None:
            known = self._states[crypt.mapping.kname] = self._ask(crypt)
        return known

    def _ask(self, crypt: CryptLayer) -> State:
        header = State(technology=crypt.technology)
        if crypt.container and crypt.technology.startswith("luks"):
            header = self._header(crypt.container, crypt.technology)
            if header.method:
                return header
        # No header, or a detached one: the kernel still knows the cipher of what is open.
        result = self._runner.run(("cryptsetup", "status", f"/dev/mapper/{crypt.mapping.name}"))
        state = luks.parse_status(result.stdout) if result.code == 0 else None
        if state is None:
            return State(technology=crypt.technology, detail=header.detail or why("cryptsetup", result))
        if crypt.technology == "bitlocker":
            clear = "whether a clear key lies on the disk cannot be read here"
            return replace(state, technology=crypt.technology, protection=Protection.UNKNOWN, detail=clear)
        return replace(state, technology=crypt.technology)

    def _header(self, device: Device, technology: str) -> State:
        if not technology.startswith("luks"):
            return State(technology=technology, detail="its key protectors cannot be read here")
        result = Result(0)
        for version, options, parse in _DUMPS:
            if technology in {version, "luks"}:
                result = self._runner.run(("cryptsetup", "luksDump", *options, device.path))
                state = parse(result.stdout) if result.code == 0 else None
                if state is not None:
                    return state
        return State(technology=technology, detail=why("cryptsetup", result))


def _id(place: Place, crypts: list[CryptLayer]) -> str:
    """The id of a LUKS container stays the same whether it is open or locked, so it comes first."""
    direct = [crypt.uuid for crypt in crypts if (crypt.mapping,) == place.devices]
    return next(filter(None, (*direct, *(device.uuid for device in place.devices))), place.name)
