"""The roll call: whose turn it is, the endpoints page by page, and what was counted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Select, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.endpoint import WORKING
from keyfast.core.roll_call import Group, Key, Kind, Line
from keyfast.store.statements import insert_once, upsert
from keyfast.store.tables import endpoint, presence, roll_call, roll_group

_ID = 1
_EXPECTED = frozenset(state.value for state in WORKING)
_FIRST = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Turn:
    """Who makes the roll call, and when it began (unix seconds)."""

    holder: str
    began_at: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A group as the last roll call counted it.

    Attributes:
        usual: share of silent endpoints by hour of the week (``core.usual``).
        counted_at: when that roll call began (unix seconds).
    """

    group: Group
    usual: tuple[int, ...]
    counted_at: int


async def claim(conn: AsyncConnection, turn: Turn, *, interval: int, lease: int) -> bool:
    """Take the turn if it is due and nobody has it; of several nodes one wins.

    Args:
        conn: in a transaction that writes.
        turn: who, and now.
        interval: seconds between the beginnings of two roll calls.
        lease: seconds after which others may take a turn that nobody goes on with.
    """
    blank = {"id": _ID, "holder": "", "lease_until": 0, "began_at": 0, "ended_at": 0, "disks": {}}
    await insert_once(conn, roll_call, blank)
    columns, now = roll_call.c, turn.began_at
    free = (columns.lease_until <= now) & ((columns.began_at <= now - interval) | (columns.ended_at < columns.began_at))
    taken = {"holder": turn.holder, "lease_until": now + lease, "began_at": now}
    return (await conn.execute(update(roll_call).where(columns.id == _ID, free).values(taken))).rowcount == 1


async def go_on(conn: AsyncConnection, turn: Turn, until: int) -> bool:
    """Hold the turn until then (unix seconds); False if another has it."""
    return await _update(conn, turn, {"lease_until": until})


async def finish(conn: AsyncConnection, turn: Turn, now: int, disks: Mapping[str, int]) -> bool:
    """End the turn; False if another has it, and what was counted is worth nothing.

    Args:
        conn: in a transaction that writes.
        turn: whose.
        now: unix seconds.
        disks: how many endpoints there are by what their disks are.
    """
    return await _update(conn, turn, {"lease_until": 0, "ended_at": now, "disks": dict(disks)})


async def disks(conn: AsyncConnection) -> dict[str, int]:
    """Return how many endpoints there are by what their disks are, as the last roll call counted."""
    return (await conn.execute(select(roll_call.c.disks))).scalar_one_or_none() or {}


async def last(conn: AsyncConnection) -> tuple[int, int]:
    """Return when the newest roll call began and ended (unix seconds), 0 for never."""
    row = (await conn.execute(select(roll_call.c.began_at, roll_call.c.ended_at))).one_or_none()
    return (row.began_at, row.ended_at) if row is not None else (0, 0)


async def _update(conn: AsyncConnection, turn: Turn, values: dict[str, Any]) -> bool:
    mine = (roll_call.c.id == _ID, roll_call.c.holder == turn.holder, roll_call.c.began_at == turn.began_at)
    return (await conn.execute(update(roll_call).where(*mine).values(values))).rowcount == 1


async def page(conn: AsyncConnection, after: str, limit: int) -> tuple[list[Line], str]:
    """Return endpoints that are expected to check in, in order of id, and the id to go on after; empty at the end.

    One walk along the primary keys of both tables: nothing is sorted, and no index is needed beside them.
    """
    hot, cold = presence.c, endpoint.c
    walk = (
        select(
            hot.endpoint_id,
            hot.state,
            cold.name,
            hot.seen_at,
            hot.next_due,
            cold.package_id,
            cold.account_key,
            cold.generation,
            cold.mode,
            cold.ring,
            hot.profile_seq,
            hot.address,
            hot.agent_version,
            hot.last_refusal,
            cold.disks,
        )
        .join(endpoint, cold.id == hot.endpoint_id)
        .where(hot.endpoint_id > (after or _FIRST))
        .order_by(hot.endpoint_id)
        .limit(limit)
    )
    rows = (await conn.execute(walk)).all()
    lines = [Line(*row[2:]) for row in rows if row[1] in _EXPECTED]
    return lines, rows[-1][0] if len(rows) == limit else ""


async def groups(conn: AsyncConnection, keys: Collection[Key] | None = None) -> dict[Key, Counted]:
    """Return groups of the last roll call: those of these keys, or all ``core.roll_call.MOST_GROUPS`` of them."""
    wanted = _groups()
    if keys is not None:
        columns = roll_group.c
        wanted = wanted.where(tuple_(columns.kind, columns.name).in_([(kind.value, name) for kind, name in keys]))
    return await _counts(conn, wanted)


async def worst(conn: AsyncConnection, kind: Kind, most: int) -> dict[Key, Counted]:
    """Return the groups of a kind, those with most silent first; only so many are read whole."""
    columns = roll_group.c
    order = (columns.silent.desc(), columns.endpoints.desc(), columns.name)
    return await _counts(conn, _groups().where(columns.kind == kind.value).order_by(*order).limit(most))


async def group(conn: AsyncConnection, key: Key) -> Counted | None:
    """Return one group of the last roll call."""
    columns = roll_group.c
    found = select(columns.document, columns.counted_at).where(columns.kind == key[0].value, columns.name == key[1])
    row = (await conn.execute(found)).one_or_none()
    return None if row is None else _counted(row.document, row.counted_at)


async def put_groups(conn: AsyncConnection, found: Mapping[Key, Counted]) -> None:
    """Replace what the last roll call counted."""
    await conn.execute(delete(roll_group))
    rows: Sequence[dict[str, object]] = [
        {
            "kind": key[0].value,
            "name": key[1],
            "endpoints": counted.group.endpoints,
            "silent": counted.group.silent,
            "document": {"group": msgspec.to_builtins(counted.group, str_keys=True), "usual": counted.usual},
            "counted_at": counted.counted_at,
        }
        for key, counted in found.items()
    ]
    await upsert(conn, roll_group, list(rows))


def _groups() -> Select[Any]:
    columns = roll_group.c
    return select(columns.kind, columns.name, columns.document, columns.counted_at)


async def _counts(conn: AsyncConnection, wanted: Select[Any]) -> dict[Key, Counted]:
    rows = await conn.execute(wanted)
    return {(Kind(row.kind), row.name): _counted(row.document, row.counted_at) for row in rows}


def _counted(document: dict[str, object], counted_at: int) -> Counted:
    usual = msgspec.convert(document["usual"], tuple[int, ...])
    return Counted(msgspec.convert(document["group"], Group, strict=False), usual, counted_at)
