"""Read ``findmnt -J``: what is mounted where on a Linux machine (findmnt(8))."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from keyfast.disks.decode import read_json

ARGV = ("findmnt", "-J", "-l", "-o", "SOURCE,TARGET,FSTYPE,MAJ:MIN")

_SUBVOLUME = re.compile(r"\[.*\]\Z", re.DOTALL)


class _Entry(msgspec.Struct, frozen=True):
    target: str
    source: str | None = None
    fstype: str | None = None
    number: str | None = msgspec.field(name="maj:min", default=None)
    children: tuple["_Entry", ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    filesystems: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system; ``number`` is ``major:minor`` or empty."""

    source: str
    target: str
    fstype: str
    number: str = ""


_decoder = msgspec.json.Decoder(_Answer)


def parse(text: bytes) -> tuple[Mount, ...] | None:
    """Return one mount for each target, the topmost; None if ``text`` cannot be read."""
    answer = read_json(_decoder, text)
    if answer is None:
        return None
    # The kernel lists mounts in the order they were made: a later one hides an earlier one.
    return tuple({mount.target: mount for mount in _walk(answer.filesystems)}.values()) or None


def _walk(entries: Iterable[_Entry]) -> Iterator[Mount]:
    for entry in entries:
        # btrfs and bind mounts name the part of the file system in brackets after the device.
        source = _SUBVOLUME.sub("", entry.source or "")
        yield Mount(source, entry.target, entry.fstype or "", (entry.number or "").strip())
        yield from _walk(entry.children)
