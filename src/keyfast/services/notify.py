"""Deliver what is in the outbox: every receiver gets every message, at least once, or it is on record that not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from keyfast.core.notification import NoticeEvent, NoticeState, after_miss, step
from keyfast.errors import KeyfastError
from keyfast.services.follow import follow
from keyfast.services.live import LiveState
from keyfast.store import events, outbox
from keyfast.store.database import Database
from keyfast.store.outbox import OutboxRow
from keyfast.wire.notification import Message, NotificationLine

TICK_SECONDS = 2.0
PORTION = 20
LEASE = 120
"""Seconds for which a message is one process's to deliver; longer than every receiver may take."""
KEPT = 30 * 86_400
"""Seconds for which a message is kept after its end."""


class Receiver(Protocol):
    """Where messages go."""

    name: str

    async def deliver(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            KeyfastError: the receiver does not have it, as far as is known.
        """
        ...


class NotificationService:
    """What administrators do with notifications."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def list_page(self, before: int | None, limit: int) -> list[NotificationLine]:
        """Messages newest first, with ids below ``before``."""
        async with self._database.read() as conn:
            rows = await outbox.list_page(conn, before=before, limit=limit)
        return [_line(row) for row in rows]

    async def test(self, by: str) -> NotificationLine:
        """Send every receiver a message that says that it is a test."""
        now = int(self._clock())
        async with self._database.write() as conn:
            detail = {"by": by}
            await events.add(conn, at=now, kind="notification_tested", endpoint_id=None, detail=detail)
            (row,) = await outbox.list_page(conn, before=None, limit=1)
        return _line(row)


class Notifier:
    """Delivers for ever.

    Args:
        live: which installation this is.
        database: the store.
        receivers: where messages go.
        clock: unix seconds.
    """

    def __init__(
        self, live: LiveState, database: Database, receivers: Sequence[Receiver], clock: Callable[[], float]
    ) -> None:
        self._live = live
        self._database = database
        self._receivers = receivers
        self._clock = clock
        self._forgot_at = 0

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Deliver whatever comes to be due."""
        await follow(self.tick, TICK_SECONDS, failed)

    async def tick(self) -> None:
        """Try what is due now, once.

        Raises:
            NotReadyError: the store is down.
        """
        now = int(self._clock())
        async with self._database.read() as conn:
            rows = await outbox.due(conn, now=now, limit=PORTION)
        for row in rows:
            async with self._database.write() as conn:
                mine = await outbox.claim(conn, row, until=now + LEASE)
            if mine:
                await self._record(await self._tried(row))
        if now > self._forgot_at + 3600:
            self._forgot_at = now
            async with self._database.write() as conn:
                await outbox.forget(conn, before=now - KEPT)

    async def _tried(self, row: OutboxRow) -> OutboxRow:
        """Deliver a message to all that do not have it; return what came of it."""
        live = self._live.current.installation
        message = Message(row.id, row.at, row.kind, row.title, row.detail, live.id, live.name)
        reached, troubles = list(row.reached), []
        for receiver in self._receivers:
            if receiver.name in reached:
                continue
            try:
                await receiver.deliver(message)
                reached.append(receiver.name)
            except KeyfastError as fault:
                troubles.append(f"{receiver.name}: {fault.message}")
        tries, now = row.tries + 1, int(self._clock())
        tried = replace(row, reached=tuple(reached), tries=tries, trouble="; ".join(troubles)[:500])
        if troubles:
            state, due_at = after_miss(row.at, tries, now)
            return replace(tried, state=state, due_at=due_at or now)
        what = NoticeEvent.DELIVERED if self._receivers else NoticeEvent.NOBODY_THERE
        return replace(tried, state=step(NoticeState.PENDING, what), due_at=now)

    async def _record(self, row: OutboxRow) -> None:
        async with self._database.write() as conn:
            await outbox.tried(conn, row)


def _line(row: OutboxRow) -> NotificationLine:
    return NotificationLine(
        row.id, row.at, row.kind, row.title, row.state.value, row.reached, row.tries, row.due_at, row.trouble
    )
