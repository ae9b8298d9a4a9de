"""The endpoints that a rotation moves: one command row each. Every write is of a bounded portion of them.

``presence.commands`` counts what waits for an endpoint, so whatever changes that recounts it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import WAITING, CommandEvent, CommandState, from_states
from keyfast.core.endpoint import WORKING
from keyfast.core.rotation_evidence import BACK, ERASING
from keyfast.store.tables import command, endpoint, presence
from keyfast.store.types import UuidText
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE

CHANGE = CHANGE_WEB_ACCESS_SERVER
FAR = 253_402_300_799
"""The end of the year 9999: a change that nobody fetched does not expire; its statement does, once it is made."""
ZERO = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Scope:
    r"""Which endpoints a rotation is about.

    Attributes:
        mode: authentication mode they use, empty for any.
        ring: empty for every ring.
        account: account (``DOMAIN\name``) they use, empty for any.
    """

    mode: str = ""
    ring: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """An endpoint of a scope: its id, its ring, and when it was heard last (unix seconds)."""

    id: str
    ring: str
    seen_at: int


@dataclass(frozen=True, slots=True)
class Portion:
    """How far a listing of targets has come.

    Attributes:
        added: rows added now.
        cursor: id of the endpoint it has come to.
        wrapped: it began at the rotation's own id, has met the last endpoint and goes on from the first.
        finished: there are no more.
    """

    added: int
    cursor: str
    wrapped: bool
    finished: bool


async def add_portion(
    conn: AsyncConnection,
    rotation_id: str,
    scope: Scope,
    cuts: Sequence[int],
    *,
    action: str = CHANGE,
    before: int,
    cursor: str,
    wrapped: bool,
    limit: int,
    now: int,
) -> Portion:
    """Plan a command for the next ``limit`` endpoints of the scope, except those that have one of this rotation.

    Endpoints are met in the order of their ids (which are random), from the rotation's id on and around: another
    order for each rotation, and the same when it is done again.

    Args:
        conn: a transaction that writes.
        rotation_id: the rotation.
        scope: whom it is about.
        cuts: how many are in the waves so far, see ``core.rotation_plan.cuts``; beyond the last all are in it.
        action: of the command.
        before: how many rows it has already.
        cursor: where the portion before ended; at first the rotation's own id.
        wrapped: as that portion said; at first False.
        limit: at most so many.
        now: unix seconds.
    """
    mine = select(literal(1)).where(
        command.c.endpoint_id == endpoint.c.id, by_endpoint(command, rotation_id), command.c.wave > 0
    )
    found = scoped(select(endpoint.c.id), scope).where(endpoint.c.id > cursor, ~mine.exists())
    if wrapped:
        found = found.where(endpoint.c.id <= rotation_id)
    last = await conn.scalar(found.order_by(endpoint.c.id).offset(limit - 1).limit(1))
    if last is not None:
        found = found.where(endpoint.c.id <= last)
    ranked = found.add_columns((func.row_number().over(order_by=endpoint.c.id) + before).label("rank")).subquery()
    steps = [(ranked.c.rank <= cut, number) for number, cut in enumerate(cuts, 1)]
    wave = case(*steps, else_=len(steps)) if steps else literal(1)
    added = await _add(conn, ranked, action, wave, CommandState.PLANNED, rotation_id, now)
    if last is not None:
        return Portion(added, last, wrapped, finished=False)
    return Portion(added, ZERO, wrapped=True, finished=wrapped)


async def sample(conn: AsyncConnection, rotation_id: str, scope: Scope, *, limit: int) -> list[Sampled]:
    """Return the first ``limit`` endpoints of the scope, in the order of ``add_portion``."""
    ordered = scoped(select(endpoint.c.id, endpoint.c.ring, presence.c.seen_at), scope).order_by(endpoint.c.id)
    rows = list(await conn.execute(ordered.where(endpoint.c.id > rotation_id).limit(limit)))
    rows += list(await conn.execute(ordered.where(endpoint.c.id <= rotation_id).limit(limit - len(rows))))
    return [Sampled(*row) for row in rows]


async def add_chosen(conn: AsyncConnection, rotation_id: str, ids: Sequence[str], action: str, *, now: int) -> int:
    """Plan a command for each of these endpoints, which have none of this rotation, in its first wave."""
    who = select(endpoint.c.id).where(endpoint.c.id.in_(list(ids))).subquery()
    return await _add(conn, who, action, literal(1), CommandState.PLANNED, rotation_id, now)


async def add_following(
    conn: AsyncConnection, rotation_id: str, *, erase: bool, cursor: str, limit: int, now: int
) -> tuple[str, bool]:
    """Add a second row for endpoints of a rotation: the way back for whoever may have moved, or an erasure.

    Args:
        conn: a transaction that writes.
        rotation_id: the rotation.
        erase: queue ``Erase`` for whoever is verified; else plan the way back for whoever was ever offered the change.
        cursor: endpoint id that the portion before ended at, ``ZERO`` at first.
        limit: at most so many endpoints.
        now: unix seconds.

    Returns:
        The endpoint id it has come to, and whether that was all.
    """
    wave, action = (ERASING, ERASE) if erase else (BACK, CHANGE)
    state = CommandState.QUEUED if erase else CommandState.PLANNED
    first, second = command.alias("first"), command.alias("second")
    had = select(literal(1)).where(
        second.c.endpoint_id == first.c.endpoint_id, by_endpoint(second, rotation_id), second.c.wave == wave
    )
    if erase:
        which: ColumnElement[bool] = first.c.state == CommandState.VERIFIED.value
    else:
        stayed = [CommandState.FAILED.value, CommandState.REVERTED.value]
        which = and_(first.c.statement != "", first.c.state.not_in(stayed))
    found = select(first.c.endpoint_id.label("id")).where(
        first.c.rotation_id == rotation_id, first.c.wave > 0, which, first.c.endpoint_id > cursor, ~had.exists()
    )
    listed = list(await conn.scalars(found.order_by(first.c.endpoint_id).limit(limit)))
    if listed:
        bounded = found.where(first.c.endpoint_id <= listed[-1]).subquery()
        await _add(conn, bounded, action, literal(wave), state, rotation_id, now)
        if erase:
            await _recount(conn, listed)
    return (listed[-1] if listed else cursor), len(listed) < limit


async def _add(
    conn: AsyncConnection,
    who: FromClause,
    action: str,
    wave: ColumnElement[Any],
    state: CommandState,
    rotation_id: str,
    now: int,
) -> int:
    """Insert one row for each id of ``who``; a number taken meanwhile is an IntegrityError, and it is tried again."""
    used = command.alias("used")
    last = select(func.coalesce(func.max(used.c.seq), 0)).where(used.c.endpoint_id == who.c.id).scalar_subquery()
    fresh = func.gen_random_uuid() if conn.dialect.name == "postgresql" else func.randomblob(16)
    values: dict[str, Any] = {
        "endpoint_id": who.c.id,
        "seq": last + 1,
        "id": fresh,
        "action": literal(action),
        "statement": literal(""),
        "state": literal(state.value),
        "created_at": literal(now),
        "expires_at": literal(FAR),
        "updated_at": literal(now),
        "detail": literal(""),
        "rotation_id": literal(rotation_id, UuidText),
        "wave": type_coerce(wave, Integer),
    }
    rows = select(*(value.label(name) for name, value in values.items())).select_from(who)
    return (await conn.execute(insert(command).from_select(list(values), rows))).rowcount


async def release(conn: AsyncConnection, rotation_id: str, *, wave: int, limit: int, now: int) -> int:
    """Queue planned commands: of the waves up to ``wave``, or of the wave ``BACK``. Return how many were queued.

    Others of the same action for the same endpoints that were not fetched yet are superseded.
    """
    upto = command.c.wave == wave if wave < 0 else and_(command.c.wave > 0, command.c.wave <= wave)
    planned = _of(rotation_id, upto, command.c.state == CommandState.PLANNED.value)
    endpoints = await _held(conn, planned.limit(limit))
    if not endpoints:
        return 0
    of_them = command.c.endpoint_id.in_(endpoints)
    newer = command.alias("newer")
    overtaken = select(literal(1)).where(
        newer.c.endpoint_id == command.c.endpoint_id,
        newer.c.action == command.c.action,
        newer.c.seq > command.c.seq,
        by_endpoint(newer, rotation_id),
        newer.c.state == CommandState.PLANNED.value,
        newer.c.wave == wave if wave < 0 else and_(newer.c.wave > 0, newer.c.wave <= wave),
    )
    unfetched = command.c.state.in_(from_states(CommandEvent.SUPERSEDED))
    await _change(conn, and_(of_them, unfetched, overtaken.exists()), "superseded", now)
    mine = and_(of_them, by_endpoint(command, rotation_id), upto, command.c.state == CommandState.PLANNED.value)
    queued = await _change(conn, mine, "queued", now)
    await _recount(conn, endpoints)
    return queued


async def recall(conn: AsyncConnection, rotation_id: str, *, limit: int, now: int) -> int:
    """Take queued changes that nobody has fetched back to planned; return how many."""
    fetchable = _of(rotation_id, command.c.wave > 0, command.c.state == CommandState.QUEUED.value)
    return await _changed(conn, rotation_id, fetchable.limit(limit), (CommandState.QUEUED,), "planned", now)


async def withdraw(conn: AsyncConnection, rotation_id: str, *, limit: int, now: int) -> int:
    """Supersede what was not fetched; return how many. Who fetched it nevertheless is asked to come back."""
    states = tuple(from_states(CommandEvent.SUPERSEDED))
    unfetched = _of(rotation_id, command.c.wave > 0, command.c.state.in_(states))
    return await _changed(conn, rotation_id, unfetched.limit(limit), states, "superseded", now)


async def retry(conn: AsyncConnection, rotation_id: str, *, limit: int, now: int) -> int:
    """Queue changes that failed, were reverted or expired once more; return how many."""
    states = (CommandState.FAILED, CommandState.REVERTED, CommandState.EXPIRED)
    ended = _of(rotation_id, command.c.wave > 0, command.c.state.in_(states))
    return await _changed(conn, rotation_id, ended.limit(limit), states, "queued", now, statement="")


async def waive(
    conn: AsyncConnection, rotation_id: str, endpoints: Iterable[str], *, detail: str, now: int
) -> list[str]:
    """Wait no more for these endpoints; return those for which that changed anything."""
    states = tuple(from_states(CommandEvent.WAIVED))
    of_them = command.c.endpoint_id.in_(list(endpoints))
    named = select(command.c.endpoint_id).where(of_them, by_endpoint(command, rotation_id), command.c.state.in_(states))
    found = await _held(conn, named)
    if found:
        which = and_(command.c.endpoint_id.in_(found), by_endpoint(command, rotation_id), command.c.state.in_(states))
        await _change(conn, which, "waived", now, detail=detail)
        await _recount(conn, found)
    return found


async def waive_everywhere(conn: AsyncConnection, endpoint_id: str, *, detail: str, now: int) -> None:
    """Let every rotation wait no more for an endpoint that is not to come back."""
    states = [state.value for state in from_states(CommandEvent.WAIVED)]
    which = and_(command.c.endpoint_id == endpoint_id, command.c.rotation_id.is_not(None), command.c.state.in_(states))
    await _change(conn, which, "waived", now, detail=detail)
    await _recount(conn, [endpoint_id])


def scoped(found: Select[Any], scope: Scope) -> Select[Any]:
    """Restrict a query to the endpoints of a scope that check in."""
    rows = found.select_from(endpoint.join(presence, presence.c.endpoint_id == endpoint.c.id)).where(
        presence.c.state.in_([state.value for state in WORKING])
    )
    if scope.mode:
        rows = rows.where(endpoint.c.mode == scope.mode)
    if scope.ring:
        rows = rows.where(endpoint.c.ring == scope.ring)
    return rows.where(endpoint.c.account_key == scope.account) if scope.account else rows


def by_endpoint(rows: FromClause, rotation_id: str) -> ColumnElement[bool]:
    """Rows of a rotation, where they are found by their endpoint: the index by rotation would read all of them."""
    return func.coalesce(rows.c.rotation_id, null()) == rotation_id


def _of(rotation_id: str, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(command.c.endpoint_id).where(command.c.rotation_id == rotation_id, *conditions)


async def _held(conn: AsyncConnection, which: Select[Any]) -> list[str]:
    """Return the endpoints found, after taking their rows in the order in which everybody takes them."""
    found = sorted(set(await conn.scalars(which)))
    if found:
        rows = select(presence.c.endpoint_id).where(presence.c.endpoint_id.in_(found))
        await conn.execute(rows.order_by(presence.c.endpoint_id).with_for_update())
    return found


async def _changed(
    conn: AsyncConnection,
    rotation_id: str,
    which: Select[Any],
    states: tuple[CommandState, ...],
    after: str,
    now: int,
    **values: str,
) -> int:
    found = await _held(conn, which)
    if not found:
        return 0
    rows = and_(
        command.c.endpoint_id.in_(found),
        by_endpoint(command, rotation_id),
        command.c.wave > 0,
        command.c.state.in_([state.value for state in states]),
    )
    changed = await _change(conn, rows, after, now, **values)
    await _recount(conn, found)
    return changed


async def _change(conn: AsyncConnection, which: ColumnElement[bool], state: str, now: int, **values: str) -> int:
    changed = update(command).where(which).values(state=state, updated_at=now, **values)
    return (await conn.execute(changed)).rowcount


async def _recount(conn: AsyncConnection, endpoints: Sequence[str]) -> None:
    waiting = select(func.count()).where(
        command.c.endpoint_id == presence.c.endpoint_id, command.c.state.in_([state.value for state in WAITING])
    )
    await conn.execute(
        update(presence).where(presence.c.endpoint_id.in_(list(endpoints))).values(commands=waiting.scalar_subquery())
    )
