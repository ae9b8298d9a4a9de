"""Authentication modes: which are open, for all endpoints or for those of one ring."""

from dataclasses import asdict, dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.store.statements import insert_once
from keyfast.store.tables import authentication_mode


@dataclass(frozen=True, slots=True)
class ModeRow:
    """An open mode; ``ring`` is empty for every ring without rows of its own (``since`` in unix seconds)."""

    ring: str
    mode: Mode
    since: int
    opened_by: str


async def load(conn: AsyncConnection) -> list[ModeRow]:
    """Return all rows, ordered."""
    rows = await conn.execute(select(authentication_mode).order_by(authentication_mode.c.ring, "mode"))
    return [ModeRow(row.ring, Mode(row.mode), row.since, row.opened_by) for row in rows]


async def open_(conn: AsyncConnection, row: ModeRow) -> bool:
    """Open a mode; tell whether it was closed before."""
    return await insert_once(conn, authentication_mode, asdict(row))


async def close(conn: AsyncConnection, ring: str, mode: Mode) -> bool:
    """Close a mode; tell whether it was open."""
    columns = authentication_mode.c
    closed = await conn.execute(delete(authentication_mode).where(columns.ring == ring, columns.mode == mode.value))
    return closed.rowcount == 1
