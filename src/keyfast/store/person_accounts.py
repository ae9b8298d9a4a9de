"""Accounts of the directory by which people come."""

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.statements import upsert
from keyfast.store.tables import person_account


@dataclass(frozen=True, slots=True)
class AccountLink:
    """An account of somebody.

    Attributes:
        sid: security identifier.
        group: the group that they have their role from, as the settings name it; empty for nobody any more.
        read_at: when the directory was last asked about it, unix seconds.
    """

    sid: str
    group: str
    read_at: int


async def put(conn: AsyncConnection, person_id: str, link: AccountLink) -> None:
    """Store what is known of an account."""
    row = {"sid": link.sid, "person_id": person_id, "group_name": link.group, "read_at": link.read_at}
    await upsert(conn, person_account, [row])


async def claim(conn: AsyncConnection, link: AccountLink, now: int) -> bool:
    """Claim asking the directory now; False if somebody else has since it was last asked."""
    mine = update(person_account).where(person_account.c.sid == link.sid, person_account.c.read_at == link.read_at)
    return (await conn.execute(mine.values(read_at=now))).rowcount == 1
