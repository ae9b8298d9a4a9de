"""Which endpoints came from a package. Read through an index; nothing is written for it by a check-in."""

from dataclasses import dataclass

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store.tables import endpoint, presence


@dataclass(frozen=True, slots=True)
class CameRow:
    """An endpoint that came from a package (times in unix seconds, 0 for never); what it uses now."""

    id: str
    name: str
    registered_at: int
    seen_at: int
    state: str
    mode: str
    account_key: str
    generation: int


async def page(conn: AsyncConnection, package_id: str, *, after: str, limit: int) -> list[CameRow]:
    """Return endpoints whose package this is, newest first, beginning after ``after`` (an endpoint id)."""
    columns, order = endpoint.c, (endpoint.c.registered_at, endpoint.c.id)
    newest = (
        select(
            columns.id,
            columns.name,
            columns.registered_at,
            presence.c.seen_at,
            presence.c.state,
            columns.mode,
            columns.account_key,
            columns.generation,
        )
        .join_from(endpoint, presence, presence.c.endpoint_id == columns.id)
        .where(columns.package_id == package_id)
        .order_by(*(column.desc() for column in order))
        .limit(limit)
    )
    if after:
        last = select(*order).where(columns.id == after, columns.package_id == package_id)
        found = (await conn.execute(last)).one_or_none() if ids.parse_endpoint_id(after) else None
        if found is None:
            return []
        newest = newest.where(tuple_(*order) < tuple(found))
    return [CameRow(*row) for row in await conn.execute(newest)]


async def seen_at(conn: AsyncConnection, package_id: str, *, among: int) -> int:
    """Return the last check-in of the ``among`` endpoints that enrolled last with a package, 0 for none."""
    columns = endpoint.c
    newest = (
        select(columns.id)
        .where(columns.package_id == package_id)
        .order_by(columns.registered_at.desc(), columns.id.desc())
        .limit(among)
        .subquery()
    )
    last = select(func.max(presence.c.seen_at)).join_from(newest, presence, presence.c.endpoint_id == newest.c.id)
    return int(await conn.scalar(last) or 0)
