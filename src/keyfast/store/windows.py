"""Recovery windows: one row each, and one row for each endpoint that is to come back through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Row, Select, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import window_endpoint
from keyfast.core.command import CommandState
from keyfast.core.endpoint import WORKING
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.window import Window, WindowEvent, WindowState, step
from keyfast.core.window_endpoint import Counts, Sign, WindowEndpointEvent, WindowEndpointState
from keyfast.errors import ConflictError
from keyfast.store import tables
from keyfast.store.statements import insert_once
from keyfast.store.tables import command, credential_generation, endpoint, installation, presence
from keyfast.store.types import UuidText
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER

_window = tables.recovery_window
_member = tables.recovery_window_endpoint


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A window and what became of it (times in unix seconds; ``closed_at`` None while it is open)."""

    window: Window
    state: WindowState
    closed_at: int | None = None
    closed_by: str = ""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """An endpoint of a window, ``since`` when it is in that state (unix seconds)."""

    endpoint_id: str
    name: str
    state: WindowEndpointState
    since: int


@dataclass(frozen=True, slots=True)
class SignRow:
    """An endpoint of a window that is not proven, and what is on record of it since the window opened."""

    endpoint_id: str
    state: WindowEndpointState
    sign: Sign


async def open_(conn: AsyncConnection, window: Window) -> int:
    """Put an open window on record with a snapshot of its endpoints; return how many there are.

    Raises:
        ConflictError: another one is open.
    """
    await conn.execute(select(installation.c.id).with_for_update())  # so that of two at once one waits
    other = (await conn.execute(_open_rows())).first()
    if other is not None:
        raise ConflictError(f"a recovery window is open already: {other.id}", repair=f"keyfast window close {other.id}")
    await conn.execute(
        insert(_window).values(
            id=window.id,
            opened_at=window.opened_at,
            opened_by=window.opened_by,
            deadline=window.deadline,
            closed_at=None,
            document=_document(window, WindowState.OPEN),
        )
    )
    return await _snapshot(conn, window)


async def _snapshot(conn: AsyncConnection, window: Window) -> int:
    who = (
        endpoint.c.id.in_(window.endpoints)
        if window.endpoints
        else endpoint.c.ring == window.ring
        if window.ring
        else endpoint.c.account_key == window.account
    )
    taken = (
        select(
            literal(window.id, UuidText),
            endpoint.c.id,
            literal(WindowEndpointState.UNREACHED.value),
            literal(window.opened_at, sa.BigInteger),
        )
        .join_from(endpoint, presence, presence.c.endpoint_id == endpoint.c.id)
        .where(who, presence.c.state.in_([state.value for state in WORKING]))
    )
    columns = ["window_id", "endpoint_id", "state", "since"]
    return (await conn.execute(insert(_member).from_select(columns, taken))).rowcount


async def get(conn: AsyncConnection, window_id: str) -> WindowRow | None:
    """Return a window; its id is in canonical form."""
    row = (await conn.execute(select(_window).where(_window.c.id == window_id))).one_or_none()
    return None if row is None else _row(row)


async def list_page(conn: AsyncConnection, *, limit: int) -> list[WindowRow]:
    """Return windows, newest first."""
    newest = select(_window).order_by(_window.c.opened_at.desc(), _window.c.id).limit(limit)
    return [_row(row) for row in await conn.execute(newest)]


async def not_closed(conn: AsyncConnection) -> WindowRow | None:
    """Return the window that nobody closed, whether or not its deadline has passed."""
    row = (await conn.execute(_open_rows())).first()
    return None if row is None else _row(row)


async def open_now(conn: AsyncConnection, now: int) -> Window | None:
    """Return the window that admits callers now."""
    row = (await conn.execute(_open_rows().where(_window.c.deadline > now))).first()
    return None if row is None else _row(row).window


async def end(conn: AsyncConnection, row: WindowRow, event: WindowEvent, *, at: int, by: str) -> bool:
    """Close a window or let it expire, if it is open still; tell whether it was."""
    ended = await conn.execute(
        update(_window)
        .where(_window.c.id == row.window.id, _window.c.closed_at.is_(None))
        .values(closed_at=at, closed_by=by, document=_document(row.window, step(row.state, event)))
    )
    return ended.rowcount == 1


async def counts(conn: AsyncConnection, window_id: str) -> Counts:
    """Count the endpoints of a window by state, on the index alone."""
    counted = select(_member.c.state, func.count()).where(_member.c.window_id == window_id).group_by(_member.c.state)
    return window_endpoint.counts({WindowEndpointState(state): int(n) for state, n in await conn.execute(counted)})


async def members(
    conn: AsyncConnection, window_id: str, states: Sequence[WindowEndpointState], *, limit: int
) -> list[MemberRow]:
    """Return endpoints of a window in these states, state by state in the order given, by id within each."""
    rows: list[Row[Any]] = []
    for state in states:
        page = (
            select(_member.c.endpoint_id, _member.c.state, _member.c.since)
            .where(_member.c.window_id == window_id, _member.c.state == state.value)
            .order_by(_member.c.endpoint_id)
            .limit(limit - len(rows))
        )
        rows += list(await conn.execute(page))
        if len(rows) >= limit:
            break
    # Their names in a step of their own: no planner reads all endpoints for one page of them.
    named = select(endpoint.c.id, endpoint.c.name).where(endpoint.c.id.in_([row.endpoint_id for row in rows]))
    names = {who: name for who, name in await conn.execute(named)}  # noqa: C416 - rows are not pairs to a type checker
    return [
        MemberRow(row.endpoint_id, names[row.endpoint_id], WindowEndpointState(row.state), row.since) for row in rows
    ]


async def tell(
    conn: AsyncConnection, window_id: str, endpoint_ids: Sequence[str], event: WindowEndpointEvent, *, at: int
) -> int:
    """Record that the same thing happened to some endpoints; return how many changed their state by it."""
    changed = 0
    for before in sorted(window_endpoint.from_states(event)):
        moved = await conn.execute(
            update(_member)
            .where(
                _member.c.window_id == window_id,
                _member.c.endpoint_id.in_(endpoint_ids),
                _member.c.state == before.value,
            )
            .values(state=window_endpoint.step(before, event).value, since=at)
        )
        changed += moved.rowcount
        if moved.rowcount == len(endpoint_ids):
            break
    return changed


async def join(conn: AsyncConnection, window_id: str, endpoint_id: str, *, at: int) -> bool:
    """Take an endpoint into a window that was not on record when it opened; False if it is in it already."""
    row = {"window_id": window_id, "endpoint_id": endpoint_id, "state": WindowEndpointState.UNREACHED, "since": at}
    return await insert_once(conn, _member, row)


async def is_member(conn: AsyncConnection, window_id: str, endpoint_id: str) -> bool:
    """Tell whether an endpoint is one of those of a window; its id is in canonical form."""
    of_it = (_member.c.window_id == window_id) & (_member.c.endpoint_id == endpoint_id)
    return await conn.scalar(select(_member.c.state).where(of_it)) is not None


async def signs(conn: AsyncConnection, window: Window, *, after: str, limit: int) -> list[SignRow]:
    """Return unproven endpoints in order of their id, beginning after ``after``, with what is on record of them."""
    page = (
        select(_member.c.endpoint_id, _member.c.state)
        .where(_member.c.window_id == window.id, _member.c.state != WindowEndpointState.PROVEN.value)
        .order_by(_member.c.endpoint_id)
        .limit(limit)
    )
    if after:
        page = page.where(_member.c.endpoint_id > after)
    rows = list(await conn.execute(page))
    who = [row.endpoint_id for row in rows]
    seen, changes = await _seen(conn, who), await _changes(conn, who, window.opened_at)
    return [
        SignRow(
            row.endpoint_id,
            WindowEndpointState(row.state),
            Sign(*seen[row.endpoint_id], *changes.get(row.endpoint_id, (None, 0))),
        )
        for row in rows
    ]


async def _seen(conn: AsyncConnection, endpoint_ids: Sequence[str]) -> Mapping[str, tuple[int, bool]]:
    """When each endpoint was seen last, and whether what it held then is accepted today."""
    sound = sa.or_(
        endpoint.c.mode == Mode.OAUTH.value,
        sa.exists().where(
            credential_generation.c.account_key == endpoint.c.account_key,
            credential_generation.c.generation == presence.c.credential_generation,
            credential_generation.c.state == GenerationState.PROVEN.value,
        ),
    )
    found = (
        select(endpoint.c.id, presence.c.seen_at, sound)
        .join_from(endpoint, presence, presence.c.endpoint_id == endpoint.c.id)
        .where(endpoint.c.id.in_(endpoint_ids))
    )
    return {row[0]: (row[1], bool(row[2])) for row in await conn.execute(found)}


async def _changes(
    conn: AsyncConnection, endpoint_ids: Sequence[str], since: int
) -> Mapping[str, tuple[CommandState, int]]:
    """The newest change of each endpoint that moved since then, by endpoint."""
    found = (
        select(command.c.endpoint_id, command.c.state, command.c.updated_at)
        .where(
            command.c.endpoint_id.in_(endpoint_ids),
            command.c.action == CHANGE_WEB_ACCESS_SERVER,
            command.c.updated_at >= since,
            command.c.state != CommandState.SUPERSEDED.value,
        )
        .order_by(command.c.seq)
    )
    return {row[0]: (CommandState(row[1]), row[2]) for row in await conn.execute(found)}


def _open_rows() -> Select[Any]:
    return select(_window).where(_window.c.closed_at.is_(None)).order_by(_window.c.opened_at.desc()).limit(1)


def _document(window: Window, state: WindowState) -> dict[str, Any]:
    members_of_row = ("id", "opened_at", "opened_by", "deadline")
    described = {name: value for name, value in msgspec.to_builtins(window).items() if name not in members_of_row}
    return described | {"state": state.value}


def _row(row: Row[Any]) -> WindowRow:
    told = dict(row.document)
    state = WindowState(told.pop("state"))
    fixed = {"id": row.id, "opened_at": row.opened_at, "opened_by": row.opened_by, "deadline": row.deadline}
    return WindowRow(msgspec.convert(told | fixed, Window), state, row.closed_at, row.closed_by)
