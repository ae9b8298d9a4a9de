"""Traffic: check-ins and refusals of each minute, a row for each minute and node, kept for some days."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.statements import upsert
from keyfast.store.tables import traffic

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """What was counted in a minute that began then (unix seconds); refusals by class."""

    at: int
    check_ins: int
    refusals: Mapping[str, int]


async def put(conn: AsyncConnection, node: str, minute: Minute) -> None:
    """Put a node's counts of a minute on record, or replace them."""
    row = {
        "minute": minute.at,
        "node": node,
        "check_ins": minute.check_ins,
        "refusals": dict(minute.refusals),
    }
    await upsert(conn, traffic, [row])


async def forget(conn: AsyncConnection, before: int) -> None:
    """Forget minutes that began before then (unix seconds)."""
    await conn.execute(delete(traffic).where(traffic.c.minute < before))


async def counted(conn: AsyncConnection, since: int, until: int) -> list[Minute]:
    """Return the minutes of a time, all nodes together, oldest first."""
    found: dict[int, Minute] = {}
    rows = await conn.execute(select(traffic).where(traffic.c.minute >= since, traffic.c.minute < until))
    for row in rows:
        before = found.get(row.minute, Minute(row.minute, 0, {}))
        refusals = dict(before.refusals)
        for kind, count in row.refusals.items():
            refusals[kind] = refusals.get(kind, 0) + count
        found[row.minute] = Minute(row.minute, before.check_ins + row.check_ins, refusals)
    return [found[at] for at in sorted(found)]


async def last_check_ins(conn: AsyncConnection, before: int) -> int:
    """Return the beginning of the last minute before then in which anybody checked in (unix seconds), 0 for none."""
    columns = traffic.c
    found = select(func.max(columns.minute)).where(columns.minute < before, columns.check_ins > 0)
    return int(await conn.scalar(found) or 0)
