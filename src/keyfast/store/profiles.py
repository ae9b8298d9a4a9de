"""Access profiles: signed statements, every one is kept, of each authentication mode the newest is in force.

One that belongs to a rotation is not in force before the rotation makes it so.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.store.tables import access_profile


@dataclass(frozen=True, slots=True)
class AccessProfileRow:
    """An access profile as stored (``statement`` is a JWS, ``created_at`` unix seconds).

    Attributes:
        in_force: it may be the default of its mode.
    """

    seq: int
    created_at: int
    statement: str
    mode: Mode = Mode.OAUTH
    in_force: bool = True


async def in_force(conn: AsyncConnection) -> dict[Mode, AccessProfileRow]:
    """Return the access profile in force for each mode that has one."""
    columns = access_profile.c
    newest = select(func.max(columns.seq)).where(columns.in_force == 1).group_by(columns.mode)
    rows = await conn.execute(select(access_profile).where(columns.seq.in_(newest)))
    return {Mode(row.mode): _row(row) for row in rows}


async def get(conn: AsyncConnection, seq: int) -> AccessProfileRow | None:
    """Return an access profile, None if there is none of this number."""
    row = (await conn.execute(select(access_profile).where(access_profile.c.seq == seq))).one_or_none()
    return None if row is None else _row(row)


async def next_seq(conn: AsyncConnection) -> int:
    """Return the number the next access profile must have: above every one there ever was."""
    return 1 + int(await conn.scalar(select(func.coalesce(func.max(access_profile.c.seq), 0))) or 0)


async def put_in_force(conn: AsyncConnection, seq: int, *, in_force: bool) -> None:
    """Make an access profile a candidate for the default of its mode, or take it back."""
    await conn.execute(update(access_profile).where(access_profile.c.seq == seq).values(in_force=int(in_force)))


async def add(conn: AsyncConnection, row: AccessProfileRow) -> None:
    """Put an access profile on record; a number that exists is an IntegrityError."""
    await conn.execute(
        insert(access_profile).values(asdict(row) | {"mode": row.mode.value, "in_force": int(row.in_force)})
    )


def _row(row: Row[Any]) -> AccessProfileRow:
    return AccessProfileRow(row.seq, row.created_at, row.statement, Mode(row.mode), bool(row.in_force))
