"""Access profiles: signed statements, every one is kept, the newest of each authentication mode is in force."""

from dataclasses import asdict, dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.store.tables import access_profile


@dataclass(frozen=True, slots=True)
class AccessProfileRow:
    """An access profile as stored (``statement`` is a JWS, ``created_at`` unix seconds)."""

    seq: int
    created_at: int
    statement: str
    mode: Mode = Mode.OAUTH


async def in_force(conn: AsyncConnection) -> dict[Mode, AccessProfileRow]:
    """Return the access profile in force for each mode that has one."""
    columns = access_profile.c
    newest = select(func.max(columns.seq)).group_by(columns.mode)
    rows = await conn.execute(select(access_profile).where(columns.seq.in_(newest)))
    return {Mode(row.mode): AccessProfileRow(row.seq, row.created_at, row.statement, Mode(row.mode)) for row in rows}


async def add(conn: AsyncConnection, row: AccessProfileRow) -> None:
    """Put a new access profile in force; a number that exists is an IntegrityError."""
    await conn.execute(insert(access_profile).values(asdict(row) | {"mode": row.mode.value}))
