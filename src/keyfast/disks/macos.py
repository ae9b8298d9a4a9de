"""The volumes of a Mac. Fixtures follow the real tools; it was not run on a real Mac yet."""

import re
from collections.abc import Mapping

from keyfast.disks import apfs, filevault
from keyfast.disks.decode import read_text
from keyfast.disks.filevault import FileVault
from keyfast.disks.runner import CommandRunner, why
from keyfast.disks.volume import PLAIN, State, make, with_system
from keyfast.wire.messages import Encryption, Protection, Volume

_MOUNTED = re.compile(r"^/dev/(disk\d+s\d+)(?:s\d+)? on (.+) \(apfs\b", re.MULTILINE)
_SERVICES = {"Baseband", "Hardware", "Installer", "Preboot", "Prelogin", "Recovery", "Update", "xART"}
_SWAP_USE = ("sysctl", "-n", "vm.swapusage")
_AT_REST = "the hardware encrypts it; no secret is needed to read it"


class MacDisks:
    """Reads the volumes of this Mac; ``runner`` runs the tools."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def volumes(self) -> tuple[Volume, ...]:
        """See ``Disks.volumes``."""
        status = self._runner.run(filevault.ARGV)
        vault = filevault.parse(status.stdout) if status.code == 0 else None
        listing = self._runner.run(apfs.ARGV)
        listed = apfs.parse(listing.stdout) if listing.code == 0 else None
        if listed is None:
            trouble = why("diskutil", listing) if vault else f"{why('fdesetup', status)}; {why('diskutil', listing)}"
            return (make(without_diskutil(vault, trouble), id_="/", mount="/", role="os"),)
        mounts = parse_mounts(self._runner.run(("mount",)).stdout)
        swap = swap_state(self._runner.run(_SWAP_USE).stdout)
        found = [read_volume(volume, size, vault, mounts, swap) for volume, size in listed]
        return with_system(found, "diskutil shows no system volume")


def parse_mounts(output: bytes) -> dict[str, str]:
    """Read mount(8): mount points by APFS volume; the system is mounted from a snapshot of its volume."""
    return dict(_MOUNTED.findall(read_text(output)))


def swap_state(output: bytes) -> State | None:
    """Read ``vm.swapusage``: macOS encrypts what it swaps by itself and says so; None if it does not."""
    if b"(encrypted)" not in output:
        return None
    return State(Encryption.ENCRYPTED, Protection.ON, percent=100, detail="macOS encrypts what it swaps")


def read_volume(
    volume: apfs.ApfsVolume, size: int, vault: FileVault | None, mounts: Mapping[str, str], swap: State | None
) -> Volume:
    """Put together what is said of one volume; ``swap`` is the state of what is swapped, if known."""
    mount = mounts.get(volume.device, "")
    role = _role(volume, mount)
    if role == "swap" and swap:
        return make(swap, id_=volume.uuid, mount=mount, role=role, size=size)
    of_system = role == "os" or "Data" in volume.roles
    return make(judge(volume, vault if of_system else None), id_=volume.uuid, mount=mount, role=role, size=size)


def _role(volume: apfs.ApfsVolume, mount: str) -> str:
    if mount == "/" or "System" in volume.roles:
        return "os"
    if "VM" in volume.roles:
        return "swap"
    return "boot" if _SERVICES.intersection(volume.roles) else "data"


def judge(volume: apfs.ApfsVolume, vault: FileVault | None) -> State:
    """Return the state of one volume; ``vault`` is FileVault's, None if it does not concern the volume."""
    if volume.locked:
        return _encrypted(Protection.ON)
    if vault and vault.change:
        return State(vault.change, Protection.OFF, "filevault", percent=vault.percent)
    if volume.changing:
        return State(technology="filevault", detail="encryption is being changed")
    if volume.encryption is False and not volume.file_vault:
        contradicted = vault is not None and vault.on
        return State(detail="diskutil and fdesetup contradict each other") if contradicted else PLAIN
    if not volume.encryption:
        return State(detail="diskutil did not tell whether the volume is encrypted")
    return _encrypted_and_open(volume, vault)


def without_diskutil(vault: FileVault | None, trouble: str) -> State:
    """Return the state of the system volume by FileVault alone; off may still mean encrypted by hardware."""
    if vault is None:
        return State(detail=trouble)
    if vault.change:
        return State(vault.change, Protection.OFF, "filevault", percent=vault.percent, detail=trouble)
    if vault.on:
        return State(Encryption.ENCRYPTED, Protection.ON, "filevault", percent=100, detail=trouble)
    return State(protection=Protection.OFF, detail=trouble)


def _encrypted_and_open(volume: apfs.ApfsVolume, vault: FileVault | None) -> State:
    switched = volume.file_vault if volume.file_vault is not None else vault and vault.on
    if switched and vault and not vault.on:
        return _encrypted(Protection.UNKNOWN, "diskutil and fdesetup contradict each other")
    if switched:
        return _encrypted(Protection.ON)
    if switched is False:
        return _encrypted(Protection.OFF, _AT_REST)
    return _encrypted(Protection.UNKNOWN, "neither diskutil nor fdesetup told whether a secret is needed")


def _encrypted(protection: Protection, detail: str = "") -> State:
    return State(Encryption.ENCRYPTED, protection, "filevault", percent=100, detail=detail)
