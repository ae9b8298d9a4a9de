"""The audit trail: append and read. Nothing here changes or removes a record; ``store.audit_start`` shortens it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import audit as trail
from keyfast.core.audit import Act, AuditRecord, Entry, Head
from keyfast.store import audit_start, installations
from keyfast.store.statements import insert_once
from keyfast.store.tables import audit, audit_head

UNREADABLE = "unreadable"
_ONLY = 1


async def append(conn: AsyncConnection, acts: Sequence[Act]) -> None:
    """Append acts in their order; the head is held until the commit, so that nobody else takes the same number."""
    before = await held_head(conn)
    entries: list[Entry] = []
    for act in acts:
        entries.append(trail.appended(before, act))
        before = trail.end_of(entries[-1])
    await conn.execute(insert(audit), [_columns(entry) for entry in entries])
    await conn.execute(update(audit_head).values(number=before.number, hash=before.hash))


async def head(conn: AsyncConnection) -> Head:
    """Return the end of the trail as it is on record."""
    row = (await conn.execute(select(audit_head.c.number, audit_head.c.hash))).one_or_none()
    return await start(conn) if row is None else Head(*row)


async def start(conn: AsyncConnection) -> Head:
    """Return what the first record is chained to: the last one that was removed, or the installation."""
    shortened = await audit_start.get(conn)
    if shortened is not None:
        return shortened[0].after
    founded = await installations.get(conn)
    return trail.genesis(founded.id if founded else "")


async def get(conn: AsyncConnection, number: int) -> Entry | None:
    """Return a record, None if there is none of this number."""
    row = (await conn.execute(select(audit).where(audit.c.number == number))).one_or_none()
    return None if row is None else _entry(row)


async def is_any_below(conn: AsyncConnection, number: int) -> bool:
    """Tell whether there is a record with a lower number."""
    lower = select(audit.c.number).where(audit.c.number < number).limit(1)
    return (await conn.execute(lower)).first() is not None


async def list_after(conn: AsyncConnection, number: int, limit: int) -> list[Entry]:
    """Return records in their order, with numbers above ``number``."""
    return await _entries(conn, select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit))


async def list_page(
    conn: AsyncConnection, *, before: int | None, limit: int, actor: str = "", action: str = "", subject: str = ""
) -> list[Entry]:
    """Return records newest first, with numbers below ``before``; an empty text means any."""
    statement = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(audit.c.number < before)
    for column, wanted in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.subject, subject)):
        if wanted:
            statement = statement.where(column == wanted)
    return await _entries(conn, statement)


async def held_head(conn: AsyncConnection) -> Head:
    """Return the end of the trail, and hold it until the commit."""
    held = select(audit_head.c.number, audit_head.c.hash).with_for_update()
    row = (await conn.execute(held)).one_or_none()
    if row is None:
        first = await start(conn)
        await insert_once(conn, audit_head, {"id": _ONLY, "number": first.number, "hash": first.hash})
        row = (await conn.execute(held)).one()
    return Head(*row)


async def _entries(conn: AsyncConnection, statement: Select[Any]) -> list[Entry]:
    return [_entry(row) for row in await conn.execute(statement)]


def _columns(entry: Entry) -> dict[str, Any]:
    columns = structs.asdict(entry.record) | {"hash": entry.hash}
    return columns | {"detail": msgspec.json.encode(entry.record.detail, order="sorted").decode()}


def _entry(row: Row[Any]) -> Entry:
    columns = row._asdict()
    sealed = columns.pop("hash")
    return Entry(AuditRecord(**columns | {"detail": _detail(columns["detail"])}), sealed)


def _detail(text: str) -> dict[str, str]:
    """Decode particulars; what somebody made of them that is none is shown as it is, and fits no hash."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        return {UNREADABLE: text}
