"""Passkeys: public keys of people's authenticators."""

from dataclasses import asdict, dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store.statements import insert_once
from keyfast.store.tables import passkey


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    """A passkey (times in unix seconds).

    Attributes:
        credential: what the authenticator calls it.
        public_key: COSE.
        uses: as the authenticator counts; 0 for one that does not.
    """

    credential: bytes
    id: str
    person_id: str
    name: str
    public_key: bytes
    uses: int
    created_at: int
    used_at: int = 0


async def add(conn: AsyncConnection, row: PasskeyRow) -> bool:
    """Put one on record; False if it is somebody's already."""
    return await insert_once(conn, passkey, asdict(row))


async def get(conn: AsyncConnection, credential: bytes) -> PasskeyRow | None:
    """Return one; it is held until the transaction ends."""
    found = await conn.execute(select(passkey).where(passkey.c.credential == credential).with_for_update())
    row = found.one_or_none()
    return None if row is None else PasskeyRow(*row)


async def note_use(conn: AsyncConnection, credential: bytes, *, uses: int, at: int) -> None:
    """Note that one was used."""
    await conn.execute(update(passkey).where(passkey.c.credential == credential).values(uses=uses, used_at=at))


async def of_person(conn: AsyncConnection, person_id: str) -> list[PasskeyRow]:
    """Return somebody's, oldest first; there are at most a few."""
    rows = select(passkey).where(passkey.c.person_id == person_id).order_by(passkey.c.created_at, passkey.c.id)
    return [PasskeyRow(*row) for row in await conn.execute(rows)]


async def remove(conn: AsyncConnection, person_id: str, passkey_id: str) -> bool:
    """Remove one of somebody's; tell whether there was one."""
    if ids.parse_endpoint_id(passkey_id) is None:
        return False
    mine = delete(passkey).where(passkey.c.person_id == person_id, passkey.c.id == passkey_id)
    return (await conn.execute(mine)).rowcount == 1


async def remove_all(conn: AsyncConnection, person_id: str) -> None:
    """Remove all of somebody's."""
    await conn.execute(delete(passkey).where(passkey.c.person_id == person_id))
