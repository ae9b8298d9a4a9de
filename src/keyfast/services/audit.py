"""The audit trail: put refused acts on record, read, verify and export it."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from keyfast.core import audit as trail
from keyfast.core.audit import Actor, Broken, Entry, Head
from keyfast.core.audit_actions import ACTIONS, refused_act
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.audit_seal import Seals
from keyfast.services.live import LiveState
from keyfast.store import acts, audit
from keyfast.store.database import Database
from keyfast.wire.audit import TrailHead, Verified, broken_view
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
            NotFoundError: there is none of this number.
        """
        async with self._database.read() as conn:
            entry = await audit.get(conn, number)
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
            before: where the last stretch ended; None begins.
        """
        async with self._database.read() as conn:
            head = await audit.head(conn)
            start = before or await audit.start(conn)
            entries = await audit.list_after(conn, start.number, STRETCH)
        end = trail.follow(start, entries)
        if isinstance(end, Broken):
            return broken_view(start, head.number, end)
        sealed, done = self._seals.upto(start, entries), len(entries) < STRETCH
        if isinstance(sealed, Broken):
            return broken_view(start, head.number, sealed)
        broken = trail.compared(end, head) if done else None
        return broken_view(end, head.number, broken) if broken else Verified(end, head.number, done, sealed)

    async def last(self) -> int:
        """The number of the last record."""
        async with self._database.read() as conn:
            return (await audit.head(conn)).number

    async def export(self, form: Format, after: int, upto: int) -> AsyncIterator[bytes]:
        """Records as lines, above ``after`` and up to ``upto``, some at a time."""
        while after < upto:
            async with self._database.read() as conn:
                entries = await audit.list_after(conn, after, min(PORTION, upto - after))
            if not entries:
                return
            yield b"".join(line(entry, form, self._host) for entry in entries if entry.record.number <= upto)
            after = entries[-1].record.number
