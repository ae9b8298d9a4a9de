"""Read ``lsblk -J -b``: the block devices of a Linux machine and what each one lies on (lsblk(8))."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from keyfast.disks.decode import read_json

COLUMNS = (
    "NAME,KNAME,MAJ:MIN,TYPE,FSTYPE,FSVER,UUID,SIZE,PATH,MOUNTPOINTS",
    "NAME,KNAME,MAJ:MIN,TYPE,FSTYPE,UUID,SIZE,MOUNTPOINT",  # util-linux before 2.37
)
SWAP = "[SWAP]"


class _Entry(msgspec.Struct, frozen=True):
    kname: str
    name: str = ""
    path: str | None = None
    number: str | None = msgspec.field(name="maj:min", default=None)
    type: str | None = None
    fstype: str | None = None
    fsver: str | None = None
    uuid: str | None = None
    size: int | None = None
    mountpoint: str | None = None
    mountpoints: tuple[str | None, ...] = ()
    children: tuple["_Entry", ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    blockdevices: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One block device.

    Attributes:
        kname: the kernel's name, unique.
        name: the device mapper's name, else the same.
        names: paths by which a mount may call it; the first is for tools.
        number: ``major:minor``, empty if not told.
        kind: ``disk``, ``part``, ``lvm``, ``crypt`` and so on.
        fstype: what its first bytes say it holds; empty if nobody looked.
        fsver: version of that.
        uuid: id of that.
        size: bytes.
        mounts: where it is mounted, ``[SWAP]`` for swap.
        parents: kernel names of the devices it lies on.
    """

    kname: str
    name: str
    names: tuple[str, ...]
    number: str = ""
    kind: str = ""
    fstype: str = ""
    fsver: str = ""
    uuid: str = ""
    size: int = 0
    mounts: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Path to hand to a tool."""
        return self.names[0]


# Not strict: old versions put numbers in quotes.
_decoder = msgspec.json.Decoder(_Answer, strict=False)


def parse(text: bytes) -> dict[str, Device] | None:
    """Return devices by kernel name, each once with all its parents; None if ``text`` cannot be read."""
    answer = read_json(_decoder, text)
    if answer is None:
        return None
    devices: dict[str, Device] = {}
    for entry, parent in _walk(answer.blockdevices, ""):
        known = devices.get(entry.kname) or _device(entry)
        devices[entry.kname] = replace(known, parents=known.parents | {parent}) if parent else known
    return devices or None


def _walk(entries: Iterable[_Entry], parent: str) -> Iterator[tuple[_Entry, str]]:
    for entry in entries:
        yield entry, parent
        yield from _walk(entry.children, entry.kname)


def _device(entry: _Entry) -> Device:
    paths = (entry.path, f"/dev/{entry.kname}", f"/dev/mapper/{entry.name}", f"/dev/{entry.name}")
    return Device(
        kname=entry.kname,
        name=entry.name,
        names=tuple(path for path in paths if path and path.startswith("/dev/")),
        number=(entry.number or "").strip(),
        kind=entry.type or "",
        fstype=entry.fstype or "",
        fsver=entry.fsver or "",
        uuid=entry.uuid or "",
        size=max(entry.size or 0, 0),
        mounts=frozenset(mount for mount in (*entry.mountpoints, entry.mountpoint) if mount),
    )
