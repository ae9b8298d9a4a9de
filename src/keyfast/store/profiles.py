"""Access profiles: signed statements, every one is kept, the newest is in force."""

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.tables import access_profile


@dataclass(frozen=True, slots=True)
class AccessProfileRow:
    """An access profile as stored (``statement`` is a JWS, ``created_at`` unix seconds)."""

    seq: int
    created_at: int
    statement: str


async def newest(conn: AsyncConnection) -> AccessProfileRow | None:
    """Return the access profile in force."""
    row = (await conn.execute(select(access_profile).order_by(access_profile.c.seq.desc()).limit(1))).one_or_none()
    return None if row is None else AccessProfileRow(*row)


async def add(conn: AsyncConnection, *, seq: int, statement: str, created_at: int) -> None:
    """Put a new access profile in force; a number that exists is an IntegrityError."""
    await conn.execute(insert(access_profile).values(seq=seq, statement=statement, created_at=created_at))
