"""Everything that was exported of a site's clients, read as one stream; it can be read twice."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from keyfast.core.visible import visible
from keyfast.errors import UsageError
from keyfast.see import hive, inventory, registry_text
from keyfast.see.client import Client
from keyfast.see.lines import Advance, lines, no_progress
from keyfast.see.registry_text import Damaged
from keyfast.see.report import SourceLine


class Exports(msgspec.Struct, frozen=True):
    """Which files there are.

    Attributes:
        registry: ``.reg`` files and output of ``reg query``, and folders of them, one file a machine.
        hives: offline hives, and folders of them.
        inventories: CSV files of many machines.
        versions: CSV file of client versions by machine, None for none.
        columns: names of columns of CSV files, by key.
    """

    registry: tuple[Path, ...] = ()
    hives: tuple[Path, ...] = ()
    inventories: tuple[Path, ...] = ()
    versions: Path | None = None
    columns: Mapping[str, str] = {}


class Reader:
    """Reads exports.

    Args:
        exports: which.
        advance: told of every byte read.

    Raises:
        UsageError: a file is not there.
    """

    def __init__(self, exports: Exports, advance: Advance = no_progress) -> None:
        self._exports = exports
        self._advance = advance
        self._registry = _files(exports.registry)
        self._hives = _files(exports.hives)
        self.sources: list[SourceLine] = []
        self._known: dict[str, tuple[str, int]] = {}

    @property
    def size(self) -> int:
        """Bytes to be read, all files together."""
        other = [*self._exports.inventories, *([self._exports.versions] if self._exports.versions else [])]
        return sum(path.stat().st_size for path in (*self._registry, *self._hives, *other) if path.exists())

    def clients(self) -> Iterator[Client]:
        """Yield every client; ``sources`` then says what was read."""
        self.sources = []
        if self._exports.versions and not self._known:
            self._learn(self._exports.versions)
        for path in self._registry:
            if hive.is_hive(path):
                yield from self._counted(path, "offline hive", self._hive(path))
            else:
                found = registry_text.read(lines(path, self._advance), path.stem)
                yield from self._counted(path, "registry export", found)
        for path in self._hives:
            yield from self._counted(path, "offline hive", self._hive(path))
        for path in self._exports.inventories:
            found = inventory.read(lines(path, self._advance), self._exports.columns)
            yield from self._counted(path, "inventory", found)

    def _hive(self, path: Path) -> Iterator[Client | Damaged]:
        found = hive.read(path, path.stem)
        self._advance(path.stat().st_size)
        if found is not None:
            yield found

    def _counted(self, path: Path, kind: str, found: Iterator[Client | Damaged]) -> Iterator[Client]:
        records = damaged = 0
        for item in found:
            if isinstance(item, Damaged):
                damaged += item.lines
            else:
                records += 1
                yield self._completed(item)
        note = "" if records else "no client database in it"
        if records and kind == "offline hive" and hive.is_dirty(path):
            note = "it was in use: changes in its log files are not seen"
        self.sources.append(SourceLine(visible(str(path)), kind, records, damaged, note))

    def _completed(self, client: Client) -> Client:
        version, seen_at = self._known.get(_short(client.machine), ("", 0))
        if not version and not seen_at:
            return client
        return msgspec.structs.replace(client, version=client.version or version, seen_at=max(client.seen_at, seen_at))

    def _learn(self, path: Path) -> None:
        damaged = 0
        shared: dict[str, str] = {}
        for item in inventory.read(lines(path, self._advance), self._exports.columns, ("machine", "version")):
            if isinstance(item, Damaged):
                damaged += item.lines
            else:
                version = shared.setdefault(item.version, item.version)
                self._known[_short(item.machine)] = (version, item.seen_at)
        self.sources.append(SourceLine(visible(str(path)), "client versions", len(self._known), damaged))


def _files(paths: Sequence[Path]) -> tuple[Path, ...]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(inner for inner in path.iterdir() if inner.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"there is no {path}")
    return tuple(found)


def _short(machine: str) -> str:
    """The name of a computer without its domain, for comparing."""
    return machine.casefold().partition(".")[0]
