"""What is known of the endpoints that a rotation moves: counts, names, and the newest change of one endpoint.

Only the counts by wave and state read every row of a rotation, from the index alone. The others stop at ``ENOUGH``,
or are asked for once by an operator.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, case, func, literal, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import CommandState
from keyfast.core.rotation_evidence import BACK, MOVED, UNSETTLED, Count
from keyfast.core.rotation_state import IN_EFFECT, Rotation, RotationState
from keyfast.store.rotation_targets import CHANGE, ZERO, Scope, by_endpoint, scoped
from keyfast.store.tables import command, endpoint, presence, rotation

ENOUGH = 10_000
"""Where only few or many matters, no more are counted."""
PORTION = 20_000
"""Endpoints that one statement reads, where every one has to be looked at."""


async def counts(conn: AsyncConnection, rotation_id: str) -> tuple[Count, ...]:
    """Count a rotation's changes by wave and state, from the index alone."""
    columns = (command.c.wave, command.c.state)
    found = select(*columns, func.count()).where(command.c.rotation_id == rotation_id).group_by(*columns)
    return tuple(Count(wave, CommandState(state), number) for wave, state, number in await conn.execute(found))


@dataclass(frozen=True, slots=True)
class MissingRow:
    """An endpoint that has not done what a rotation asks of it (``seen_at`` in unix seconds)."""

    endpoint_id: str
    name: str
    wave: int
    state: CommandState
    detail: str
    seen_at: int


async def missing(conn: AsyncConnection, rotation_id: str, counted: Iterable[Count], *, limit: int) -> list[MissingRow]:
    """Return endpoints that nobody waived and that have not committed, at most ``limit``; what failed first.

    They are looked for where ``counted`` says that there are some, and nowhere else.
    """
    ended = {CommandState.VERIFIED, CommandState.APPLIED, CommandState.WAIVED, CommandState.SUPERSEDED}
    rows: list[MissingRow] = []
    order = [CommandState.FAILED, CommandState.REVERTED, CommandState.EXPIRED, CommandState.PROVEN]
    order += [state for state in CommandState if state not in ended and state not in order]
    columns = (
        command.c.endpoint_id,
        endpoint.c.name,
        command.c.wave,
        command.c.state,
        command.c.detail,
        presence.c.seen_at,
    )
    joined = (
        select(*columns)
        .join_from(command, endpoint, endpoint.c.id == command.c.endpoint_id)
        .join(presence, presence.c.endpoint_id == command.c.endpoint_id)
        .where(command.c.rotation_id == rotation_id)
    )
    some = {(order.index(one.state), one.wave) for one in counted if one.state in order and one.wave >= BACK}
    for place, wave in sorted(some):
        if len(rows) < limit:
            of_it = (command.c.wave == wave, command.c.state == order[place].value)
            found = await conn.execute(joined.where(*of_it).limit(limit - len(rows)))
            rows += [MissingRow(row[0], row[1], row[2], CommandState(row[3]), row[4], row[5]) for row in found]
    return rows


@dataclass(frozen=True, slots=True)
class TargetRow:
    r"""What the newest rotation of an endpoint wants it to have.

    Attributes:
        rotation_id: the rotation.
        state: of the rotation.
        mode: authentication mode.
        profile_seq: access profile, 0 for the one in force of the mode.
        account_key: account (``DOMAIN\name``), empty in OAuth mode.
        generation: credential generation of that account, 0 for its newest that is proven.
        command_id: the change that brings it there.
        command_state: how far that has come; ``failed`` and ``reverted`` are only tried again when it recovers.
        back: the rotation is being undone.
    """

    rotation_id: str
    state: RotationState
    mode: str
    profile_seq: int
    account_key: str
    generation: int
    command_id: str
    command_state: CommandState
    back: bool = False


async def wants_restart(conn: AsyncConnection, rotation_id: str) -> bool:
    """Tell whether a rotation counts its canary only after a restart; of one that is not on record it is assumed."""
    document = await conn.scalar(select(rotation.c.document).where(rotation.c.id == rotation_id))
    return document is None or msgspec.convert(document, Rotation).plan.waves.restart_proof


async def target_of(conn: AsyncConnection, endpoint_id: str) -> TargetRow | None:
    """Return what an endpoint is to have by its newest rotation; None if that wants nothing of it (yet, or any more).

    After the end only those are still led there who were left behind: what they have is gone.
    """
    found = (
        select(rotation.c.id, rotation.c.state, rotation.c.document, command.c.wave, command.c.id, command.c.state)
        .join_from(command, rotation, rotation.c.id == command.c.rotation_id)
        .where(command.c.endpoint_id == endpoint_id, command.c.action == CHANGE)
        .order_by(command.c.seq.desc())
        .limit(1)
    )
    row = (await conn.execute(found)).one_or_none()
    if row is None:
        return None
    rotation_id, state, document, wave, command_id, command_state = row
    known, change = msgspec.convert(document, Rotation), CommandState(command_state)
    plan, facts = known.plan, known.facts
    if change is CommandState.PLANNED or (known.state is RotationState.DONE and change in MOVED):
        return None
    if known.state is RotationState.ROLLING_BACK and wave == BACK:
        content = plan.from_mode, facts.back_seq, plan.source, facts.back_generation
    elif known.state in IN_EFFECT and wave > 0:
        content = plan.mode, facts.profile_seq, plan.target, facts.generation
    else:
        return None
    return TargetRow(rotation_id, RotationState(state), *content, command_id, change, back=wave == BACK)


async def waited_for(
    conn: AsyncConnection, rotation_id: str, *, upto: int, since: int, besides: frozenset[CommandState]
) -> int:
    """Count endpoints of the waves so far that were seen at or after ``since`` and are in none of these states."""
    ended = besides | {CommandState.WAIVED, CommandState.SUPERSEDED, CommandState.PLANNED}
    open_ = [state.value for state in CommandState if state not in ended]
    found = (
        select(literal(1))
        .join_from(command, presence, presence.c.endpoint_id == command.c.endpoint_id)
        .where(command.c.rotation_id == rotation_id, command.c.wave > 0, command.c.wave <= upto)
        .where(command.c.state.in_(open_), presence.c.seen_at >= since)
    )
    return await _enough(conn, found)


async def silent(conn: AsyncConnection, rotation_id: str, *, overdue_before: int) -> int:
    """Count endpoints that fetched a change, did not come to its end, and were due before that time.

    What an endpoint does about a change takes seconds. One that has committed and sleeps over the weekend is silent
    for another reason.
    """
    found = (
        select(literal(1))
        .join_from(command, presence, presence.c.endpoint_id == command.c.endpoint_id)
        .where(command.c.rotation_id == rotation_id, command.c.wave > 0)
        .where(command.c.state.in_([state.value for state in UNSETTLED]), presence.c.next_due < overdue_before)
        .where(presence.c.state != "retired")
    )
    return await _enough(conn, found)


async def uncovered(conn: AsyncConnection, rotation_id: str, scope: Scope) -> int:
    """Count endpoints of the scope without a change of this rotation, up to ``ENOUGH``.

    It reads every endpoint, but so many at a time that no statement lasts: PostgreSQL cancels one that does.
    """
    found, after = 0, ZERO
    while found < ENOUGH:
        walk = select(endpoint.c.id).where(endpoint.c.id > after).order_by(endpoint.c.id)
        last = await conn.scalar(walk.offset(PORTION - 1).limit(1))
        found += int(await conn.scalar(_without(rotation_id, scope, after, last)) or 0)
        if last is None:
            break
        after = last
    return min(found, ENOUGH)


def _without(rotation_id: str, scope: Scope, after: str, last: str | None) -> Select[Any]:
    """Count endpoints of a part of all ids that have no change of a rotation."""

    def part(column: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
        return (column > after,) if last is None else (column > after, column <= last)

    # Both tables are cut to the part, so that no planner reads all commands for it.
    mine = select(literal(1)).where(
        command.c.endpoint_id == endpoint.c.id, by_endpoint(command, rotation_id), *part(command.c.endpoint_id)
    )
    return scoped(select(func.count()), scope).where(*part(endpoint.c.id), ~mine.exists())


async def users(conn: AsyncConnection, account_key: str) -> int:
    """Count endpoints on record that use an account. It reads every endpoint."""
    found = (
        select(literal(1))
        .join_from(endpoint, presence, presence.c.endpoint_id == endpoint.c.id)
        .where(endpoint.c.account_key == account_key, presence.c.state.not_in(["retired", "revoked"]))
    )
    return await _enough(conn, found)


async def tally(conn: AsyncConnection, scope: Scope, now: int) -> dict[str, int]:
    """Count the endpoints of a scope: all, seen lately, overdue, without a seal key, longest unseen."""
    day = 86_400
    seen = presence.c.seen_at

    def many(condition: ColumnElement[bool]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    columns = {
        "targets": func.count(),
        "seen_7d": many(seen >= now - 7 * day),
        "seen_30d": many(seen >= now - 30 * day),
        "seen_90d": many(seen >= now - 90 * day),
        "offline": many(presence.c.next_due < now),
        "keyless": many(or_(endpoint.c.thumbprint == "", endpoint.c.public_jwk == {})),
        "first": func.coalesce(func.min(case((seen > 0, seen), else_=null())), now),
    }
    found = scoped(select(*(value.label(name) for name, value in columns.items())), scope)
    return {name: int(value) for name, value in (await conn.execute(found)).one()._asdict().items()}


async def named(conn: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """Return the ids of endpoints by name, for names that are not shared."""
    found = select(endpoint.c.name, endpoint.c.id).where(endpoint.c.name.in_(list(names)))
    rows: dict[str, list[str]] = {}
    for name, endpoint_id in await conn.execute(found):
        rows.setdefault(name, []).append(endpoint_id)
    return {name: found[0] for name, found in rows.items() if len(found) == 1}


async def _enough(conn: AsyncConnection, found: Select[Any]) -> int:
    return int(await conn.scalar(select(func.count()).select_from(found.limit(ENOUGH).subquery())) or 0)
