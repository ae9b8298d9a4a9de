"""The outbox: messages that are to be delivered, written by the transaction of the event that they tell of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.notification import NoticeState, is_same_news, notice_of
from keyfast.store.tables import outbox


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message (times in unix seconds).

    Attributes:
        key: messages of the same key are the same news.
        detail: particulars that are sent along.
        reached: names of the receivers that have it.
        tries: how often it was tried.
        due_at: when it is tried next.
        trouble: why the last try did not reach everybody.
    """

    id: int
    at: int
    kind: str
    key: str
    title: str
    detail: dict[str, Any]
    state: NoticeState
    reached: tuple[str, ...]
    tries: int
    due_at: int
    trouble: str


async def put_event(conn: AsyncConnection, *, at: int, kind: str, detail: Mapping[str, Any]) -> None:
    """Put the message of an event into the outbox, if somebody is told of its kind and it is news."""
    notice = notice_of(kind, at, detail)
    if notice is None:
        return
    last = (await conn.execute(select(func.max(outbox.c.at)).where(outbox.c.key == notice.key))).scalar_one()
    if is_same_news(notice, last):
        return
    row = {
        "at": at,
        "kind": kind,
        "key": notice.key,
        "title": notice.title,
        "detail": notice.detail,
        "state": NoticeState.PENDING,
        "reached": {},
        "tries": 0,
        "due_at": at,
        "trouble": "",
    }
    await conn.execute(insert(outbox).values(row))


async def due(conn: AsyncConnection, *, now: int, limit: int) -> list[OutboxRow]:
    """Return messages that are to be tried now, the oldest first."""
    pending = select(outbox).where(outbox.c.state == NoticeState.PENDING, outbox.c.due_at <= now)
    return [_row(row) for row in await conn.execute(pending.order_by(outbox.c.due_at, outbox.c.id).limit(limit))]


async def claim(conn: AsyncConnection, row: OutboxRow, *, until: int) -> bool:
    """Take a message for delivery, unless another process was faster; if this one dies it is due again at ``until``."""
    mine = update(outbox).where(
        outbox.c.id == row.id, outbox.c.state == NoticeState.PENDING, outbox.c.due_at == row.due_at
    )
    return (await conn.execute(mine.values(due_at=until))).rowcount == 1


async def tried(conn: AsyncConnection, row: OutboxRow) -> None:
    """Put on record what came of a try."""
    values = {
        "state": row.state,
        "reached": dict.fromkeys(row.reached, True),
        "tries": row.tries,
        "due_at": row.due_at,
        "trouble": row.trouble,
    }
    await conn.execute(update(outbox).where(outbox.c.id == row.id).values(values))


async def list_page(conn: AsyncConnection, *, before: int | None, limit: int) -> list[OutboxRow]:
    """Return messages newest first, with ids below ``before``."""
    statement = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(outbox.c.id < before)
    return [_row(row) for row in await conn.execute(statement)]


async def forget(conn: AsyncConnection, *, before: int) -> None:
    """Remove messages from before a time that are not pending."""
    over = [state for state in NoticeState if state is not NoticeState.PENDING]
    await conn.execute(delete(outbox).where(outbox.c.state.in_(over), outbox.c.due_at < before))


def _row(row: Row[Any]) -> OutboxRow:
    columns = row._asdict()
    return OutboxRow(**columns | {"state": NoticeState(columns["state"]), "reached": tuple(columns["reached"])})
