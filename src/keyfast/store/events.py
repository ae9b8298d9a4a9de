"""Events: what happened, in order, to an endpoint or to the installation."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store import acts, outbox
from keyfast.store.tables import event


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event (``at`` in unix seconds); ``endpoint_id`` is None for the installation's own."""

    id: int
    at: int
    kind: str
    endpoint_id: str | None
    detail: dict[str, Any]


async def add(conn: AsyncConnection, *, at: int, kind: str, endpoint_id: str | None, detail: dict[str, Any]) -> None:
    """Record an event; on the audit trail too if it is an act, and in the outbox if people are told of it."""
    acts.note_event(conn, at=at, kind=kind, endpoint_id=endpoint_id, detail=detail)
    await outbox.put_event(conn, at=at, kind=kind, detail=detail)
    await conn.execute(insert(event).values(at=at, kind=kind, endpoint_id=endpoint_id, detail=detail))


async def list_page(
    conn: AsyncConnection, *, endpoint_id: str | None, before: int | None, limit: int
) -> list[EventRow]:
    """Return events newest first, of one endpoint or of all, with ids below ``before``."""
    statement = select(event).order_by(event.c.id.desc()).limit(limit)
    if endpoint_id is not None:
        if ids.parse_endpoint_id(endpoint_id) is None:
            return []
        statement = statement.where(event.c.endpoint_id == endpoint_id)
    if before is not None:
        statement = statement.where(event.c.id < before)
    return [EventRow(*row) for row in await conn.execute(statement)]
