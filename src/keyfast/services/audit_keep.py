"""Remove what is older than the trail is kept: from its front, and only what fits and is sealed.

Whoever wants to hide something would like the server to remove it. So each portion is verified before it goes, and a
trail that is broken keeps everything it has.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import audit as trail
from keyfast.core import audit_keep
from keyfast.core.audit import Broken, Entry, Fault, Head
from keyfast.core.audit_keep import Start
from keyfast.errors import NotReadyError, TrustError
from keyfast.services.audit_seal import Seals
from keyfast.services.follow import follow
from keyfast.settings_audit import AuditSettings
from keyfast.store import acts, audit, audit_start
from keyfast.store.database import Database
from keyfast.trust.files import write_private
from keyfast.wire.audit_formats import Format, line

LOOK_SECONDS = 3600.0
PORTION = 500
"""Records that are read, and removed, at once."""
PAUSE = 0.05
"""Seconds between two removals, in which the database's lock is free for others."""
_REPAIR = "keyfast audit verify"


class TrailKeeper:
    """Keeps the trail as long as the settings say.

    Args:
        database: the store.
        seals: looks through seals, and makes them.
        settings: how long, and where to write what goes.
        clock: unix seconds.
    """

    def __init__(self, database: Database, seals: Seals, settings: AuditSettings, clock: Callable[[], float]) -> None:
        self._database = database
        self._seals = seals
        self._settings = settings
        self._clock = clock

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Remove what is old, looked for every hour."""
        await follow(self.tick, LOOK_SECONDS, failed)

    async def tick(self) -> None:
        """Remove what is old, a portion at a time. May be cut off anywhere, and done on several nodes at once.

        Raises:
            TrustError: the trail is broken, or does not begin where the server sealed that it does; nothing is removed.
            NotReadyError: the store is down, or what goes cannot be written to its folder.
        """
        if not self._settings.keep_days:
            return
        last = await self._last()
        while await self._remove(last):
            pass

    async def _last(self) -> int:
        """The number of the last record that may go: it and all before it are old, fit, and are sealed."""
        before = audit_keep.cutoff(int(self._clock()), self._settings.keep_days)
        async with self._database.read() as conn:
            start = old = await self._start(conn)
        sealed, all_old = 0, True
        while all_old or sealed < old.number:
            async with self._database.read() as conn:
                if (await self._start(conn)).number > start.number:
                    return 0  # another node has removed meanwhile what this one was to look at
                entries = await audit.list_after(conn, start.number, PORTION)
            if not entries:
                break
            end = self._followed(start, entries)
            sealed = max(sealed, self._vouched(start, entries))
            if all_old:
                old = audit_keep.old_upto(start, entries, before)
                all_old = old == end
            start = end
        return min(old.number, sealed)

    async def _remove(self, last: int) -> bool:
        """Remove the next portion; tell whether there may be more."""
        async with self._database.read() as conn:
            start = await self._start(conn)
            entries = await audit.list_after(conn, start.number, min(PORTION, max(0, last - start.number)))
        entries = [entry for entry in entries if entry.record.number <= last]
        if not entries:
            return False
        end = self._followed(start, entries)
        file = await self._written(entries)
        days, now = self._settings.keep_days, int(self._clock())
        async with self._database.write() as conn:
            await audit_start.hold(conn)
            if await self._start(conn) != start:
                return False  # another node was faster
            told = Start(end, (await audit.held_head(conn)).number + 1)
            await audit_start.shorten(conn, told, self._seals.beginning(told))
            acts.note(conn, audit_keep.shortened(start.number + 1, end, days, file, now))
        await asyncio.sleep(PAUSE)
        return True

    async def _written(self, entries: list[Entry]) -> str:
        """Write records to the folder, durably, before they go; return the file's name, empty without a folder.

        The name says which they are, so that a file never takes the place of another one with other records.
        """
        folder = self._settings.export_to
        if folder is None:
            return ""
        first, last = entries[0].record.number, entries[-1].record.number
        path = folder / f"keyfast-audit-{first:012}-{last:012}.jsonl"
        content = b"".join(line(entry, Format.JSONL, "") for entry in entries)
        try:
            await asyncio.to_thread(_write, path, content)
        except OSError as cause:
            raise NotReadyError(f"records that are to be removed cannot be written to {path}: {cause}") from cause
        return path.name

    async def _start(self, conn: AsyncConnection) -> Head:
        found = await audit_start.get(conn)
        if found is not None and not self._seals.is_beginning(*found):
            raise TrustError("the audit trail does not begin where the server sealed that it does", repair=_REPAIR)
        start = await audit.start(conn)
        if await audit.is_any_below(conn, start.number + 1):
            raise _broken(Broken(start.number + 1, Fault.BEFORE_THE_BEGINNING))
        return start

    def _followed(self, start: Head, entries: list[Entry]) -> Head:
        end = trail.follow(start, entries)
        if isinstance(end, Broken):
            raise _broken(end)
        return end

    def _vouched(self, start: Head, entries: list[Entry]) -> int:
        sealed = self._seals.upto(start, entries)
        if isinstance(sealed, Broken):
            raise _broken(sealed)
        return sealed


def _broken(found: Broken) -> TrustError:
    return TrustError(
        f"the audit trail is broken at record {found.number} ({found.fault}): nothing is removed from it",
        repair=_REPAIR,
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, content, replace=True)
