"""The audit trail: put refused acts on record, read, verify and export it."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import audit as trail
from keyfast.core.audit import Actor, Broken, Entry, Fault, Head
from keyfast.core.audit_actions import ACTIONS, refused_act
from keyfast.core.audit_keep import Start
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.audit_seal import Seals
from keyfast.services.live import LiveState
from keyfast.store import acts, audit, audit_start
from keyfast.store.database import Database
from keyfast.wire.audit import Beginning, TrailHead, Verified, beginning_view, broken_view
from keyfast.wire.audit_formats import Format, line

PORTION = 1000
"""Records that an export reads at once."""
STRETCH = 5000
"""Records that are verified at once."""


class AuditService:
    """What is done with the trail.

    Args:
        live: which installation this is.
        database: the store.
        seals: looks through seals.
        host: name of this server, for exports.
        clock: unix seconds.
    """

    def __init__(
        self, live: LiveState, database: Database, seals: Seals, host: str, clock: Callable[[], float]
    ) -> None:
        self._seals = seals
        self._live = live
        self._database = database
        self._host = host
        self._clock = clock

    async def refused(self, action: str, asked: Mapping[str, Any], actor: Actor, why: str) -> None:
        """See ``api.acts.Trail``; a transaction of its own, as the act's was rolled back."""
        async with self._database.write() as conn:
            acts.note(conn, refused_act(action, int(self._clock()), asked, actor, why))

    async def list_page(
        self, *, before: int | None, limit: int, actor: str = "", action: str = "", subject: str = ""
    ) -> list[Entry]:
        """Newest first, with numbers below ``before``; an empty text means any.

        Raises:
            UsageError: there is no such action.
        """
        if action and action not in ACTIONS:
            raise UsageError(f"no action '{action}'; actions: {', '.join(sorted(ACTIONS))}")
        async with self._database.read() as conn:
            return await audit.list_page(conn, before=before, limit=limit, actor=actor, action=action, subject=subject)

    async def show(self, number: int) -> Entry:
        """One record.

        Raises:
            NotFoundError: there is none of this number, or not any more.
        """
        async with self._database.read() as conn:
            entry, start = await audit.get(conn, number), await audit.start(conn)
        if entry is None and number <= start.number:
            raise NotFoundError(f"record {number} was removed; the trail is kept from record {start.number + 1} on")
        if entry is None:
            raise NotFoundError(f"no record {number}", repair="keyfast audit list")
        return entry

    async def head(self) -> TrailHead:
        """The end of the trail, to be kept where nobody of this server can change it."""
        async with self._database.read() as conn:
            head = await audit.head(conn)
        return TrailHead(self._live.current.installation.id, head.number, head.hash, int(self._clock()))

    async def verify(self, before: Head | None) -> Verified:
        """Verify the next stretch.

        Args:
            before: where the last stretch ended; None begins. What was removed meanwhile is passed over.
        """
        async with self._database.read() as conn:
            head, start = await audit.head(conn), await audit.start(conn)
            begun, first = await audit_start.get(conn), start.number + 1
            beginning = None if begun is None else await _beginning(conn, begun[0])
            if before is not None and before.number >= start.number:
                start = before
            entries = await audit.list_after(conn, start.number, STRETCH)
            stray = await audit.is_any_below(conn, first)
        if begun is not None and not self._seals.is_beginning(*begun):
            return broken_view(start, head.number, Broken(first, Fault.NOT_THE_BEGINNING), beginning)
        if stray:
            return broken_view(start, head.number, Broken(first, Fault.BEFORE_THE_BEGINNING), beginning)
        end = trail.follow(start, entries)
        if isinstance(end, Broken):
            return broken_view(start, head.number, end, beginning)
        sealed, done = self._seals.upto(start, entries), len(entries) < STRETCH
        if isinstance(sealed, Broken):
            return broken_view(start, head.number, sealed, beginning)
        broken = trail.compared(end, head) if done else None
        if broken:
            return broken_view(end, head.number, broken, beginning)
        return Verified(end, head.number, done, sealed, beginning=beginning)

    async def last(self) -> int:
        """The number of the last record."""
        return (await self.span())[1]

    async def span(self) -> tuple[int, int]:
        """The numbers of the first record that is kept, and of the last one."""
        async with self._database.read() as conn:
            return (await audit.start(conn)).number + 1, (await audit.head(conn)).number

    async def export(self, form: Format, after: int, upto: int) -> AsyncIterator[bytes]:
        """Records as lines, above ``after`` and up to ``upto``, some at a time."""
        while after < upto:
            async with self._database.read() as conn:
                entries = await audit.list_after(conn, after, min(PORTION, upto - after))
            if not entries:
                return
            yield b"".join(line(entry, form, self._host) for entry in entries if entry.record.number <= upto)
            after = entries[-1].record.number


async def _beginning(conn: AsyncConnection, start: Start) -> Beginning:
    return beginning_view(start.after, start.record, await audit.get(conn, start.record))
