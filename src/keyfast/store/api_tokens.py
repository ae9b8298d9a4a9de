"""API tokens, by their hash."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store import people
from keyfast.store.people import PersonRow
from keyfast.store.tables import api_token, person


@dataclass(frozen=True, slots=True)
class ApiTokenRow:
    """An API token (times in unix seconds); ``id`` names it and opens nothing.

    Attributes:
        scopes: as they are stored: ones that this version does not know allow nothing.
        used_at: as of the day, so that not every request writes.
    """

    hash: bytes = field(repr=False)
    id: str
    person_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int = 0
    revoked_at: int | None = None


async def add(conn: AsyncConnection, row: ApiTokenRow) -> None:
    """Put a token on record."""
    values = {column.name: getattr(row, column.name) for column in api_token.columns}
    await conn.execute(insert(api_token).values(values | {"scopes": {"scopes": list(row.scopes)}}))


async def get(conn: AsyncConnection, digest: bytes) -> tuple[ApiTokenRow, PersonRow] | None:
    """Return a token and whose it is."""
    row = (await conn.execute(select(api_token).where(api_token.c.hash == digest))).one_or_none()
    owner = None if row is None else await people.get(conn, row.person_id)
    return None if row is None or owner is None else (_row(row), owner)


async def note_use(conn: AsyncConnection, digest: bytes, at: int) -> None:
    """Note that a token was used."""
    await conn.execute(update(api_token).where(api_token.c.hash == digest).values(used_at=at))


async def revoke(conn: AsyncConnection, token_id: str, at: int, person_id: str = "") -> bool:
    """Revoke a token; ``person_id`` if it has to be theirs. Tell whether there was one that was not revoked."""
    if ids.parse_endpoint_id(token_id) is None:
        return False
    revoked = update(api_token).where(api_token.c.id == token_id, api_token.c.revoked_at.is_(None))
    if person_id:
        revoked = revoked.where(api_token.c.person_id == person_id)
    return (await conn.execute(revoked.values(revoked_at=at))).rowcount == 1


async def revoke_all(conn: AsyncConnection, person_id: str, at: int) -> int:
    """Revoke every token of somebody; return how many there were."""
    revoked = update(api_token).where(api_token.c.person_id == person_id, api_token.c.revoked_at.is_(None))
    return (await conn.execute(revoked.values(revoked_at=at))).rowcount


async def list_page(
    conn: AsyncConnection, *, after: str, limit: int, person_id: str = ""
) -> list[tuple[ApiTokenRow, str]]:
    """Return tokens with the names of their people, in order of id; ``person_id`` for one person's."""
    page = select(api_token, person.c.name.label("owner")).join(person, person.c.id == api_token.c.person_id)
    if person_id:
        page = page.where(api_token.c.person_id == person_id)
    if after:
        if ids.parse_endpoint_id(after) is None:
            return []
        page = page.where(api_token.c.id > after)
    rows = await conn.execute(page.order_by(api_token.c.id).limit(limit))
    return [(_row(row), row.owner) for row in rows]


def _row(row: Row[Any]) -> ApiTokenRow:
    found = {column.name: getattr(row, column.name) for column in api_token.columns}
    return ApiTokenRow(**(found | {"scopes": tuple(row.scopes["scopes"])}))
