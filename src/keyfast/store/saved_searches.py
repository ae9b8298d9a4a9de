"""Searches that somebody keeps, by the id of the person; empty for the local socket."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.statements import upsert
from keyfast.store.tables import saved_search


@dataclass(frozen=True, slots=True)
class SavedSearchRow:
    """A search and its name; ``query`` as a query says it, ``saved_at`` in unix seconds."""

    owner: str
    name: str
    query: dict[str, Any]
    saved_at: int


async def of_person(conn: AsyncConnection, owner: str, *, limit: int) -> list[SavedSearchRow]:
    """Return somebody's, in order of name."""
    mine = select(saved_search).where(saved_search.c.owner == owner).order_by(saved_search.c.name).limit(limit)
    return [SavedSearchRow(*row) for row in await conn.execute(mine)]


async def put(conn: AsyncConnection, row: SavedSearchRow) -> None:
    """Keep one; it replaces one of the same name."""
    values = {"owner": row.owner, "name": row.name, "query": row.query, "saved_at": row.saved_at}
    await upsert(conn, saved_search, [values])


async def others(conn: AsyncConnection, owner: str, name: str) -> int:
    """Return how many of other names somebody keeps."""
    mine = select(func.count()).where(saved_search.c.owner == owner, saved_search.c.name != name)
    return int(await conn.scalar(mine) or 0)


async def remove(conn: AsyncConnection, owner: str, name: str) -> bool:
    """Forget one; tell whether there was one."""
    mine = delete(saved_search).where(saved_search.c.owner == owner, saved_search.c.name == name)
    return (await conn.execute(mine)).rowcount == 1
