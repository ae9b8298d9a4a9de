"""Commands to one endpoint: signed by the caller, offered until the endpoint says it has them."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import WAITING, CommandEvent, CommandState, from_states
from keyfast.errors import NotFoundError
from keyfast.store.tables import command, presence
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE
from keyfast.wire.renewal import RENEW_DEVICE_KEY

MADE_WHEN_OFFERED = (CHANGE_WEB_ACCESS_SERVER, ERASE, RENEW_DEVICE_KEY)
"""Actions whose statement is signed when it is sent, see ``services.change`` and ``services.renew``."""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command (times in unix seconds).

    Attributes:
        statement: JWS; empty while what is made when it is offered has not been.
        rotation_id: rotation it belongs to, None for any other command.
        wave: in which wave of that rotation, from 1.
    """

    endpoint_id: str
    seq: int
    id: str
    action: str
    statement: str
    state: CommandState
    created_at: int
    expires_at: int
    updated_at: int
    detail: str = ""
    rotation_id: str | None = None
    wave: int = 0


async def next_seq(conn: AsyncConnection, endpoint_id: str) -> int:
    """Return the number the next command must carry, and hold the endpoint's row until the commit.

    Raises:
        NotFoundError: there is no such endpoint.
    """
    await lock(conn, endpoint_id)
    last = await conn.scalar(select(func.max(command.c.seq)).where(command.c.endpoint_id == endpoint_id))
    return (last or 0) + 1


async def fresh_seq(conn: AsyncConnection, row: CommandRow) -> int:
    """Return a number above all that the endpoint may have seen; the row's own if nothing of it was ever sent."""
    following = await next_seq(conn, row.endpoint_id)
    never_sent = not row.statement and not row.detail
    return row.seq if row.seq == following - 1 and never_sent else following


async def queue(conn: AsyncConnection, row: CommandRow) -> None:
    """Queue a command; ``row.seq`` comes from ``next_seq`` in the same transaction, as it is signed too.

    One of the same action that was not fetched yet is superseded: no queue is replayed in order.
    """
    older = (command.c.endpoint_id == row.endpoint_id) & (command.c.action == row.action)
    superseded = command.c.state.in_(from_states(CommandEvent.SUPERSEDED))
    gone = {"state": CommandState.SUPERSEDED, "updated_at": row.created_at}
    await conn.execute(update(command).where(older, superseded).values(gone))
    await conn.execute(insert(command).values(asdict(row)))
    await recount(conn, row.endpoint_id)


async def offer(conn: AsyncConnection, endpoint_id: str, *, now: int, limit: int) -> list[CommandRow]:
    """Take what to send with an answer, oldest first; what has expired is marked so instead.

    What is made when it is offered has no statement yet, or one that is made anew when it expires: it is only
    returned, and marked by whoever makes its statement (``store.changes.put``).
    """
    await lock(conn, endpoint_id)
    waiting = update(command).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(WAITING))
    signed = command.c.action.not_in(MADE_WHEN_OFFERED)
    late = await conn.execute(
        waiting.where(signed, command.c.expires_at <= now).values(state=CommandState.EXPIRED, updated_at=now)
    )
    if late.rowcount:
        await recount(conn, endpoint_id)
    rows = await pending(conn, endpoint_id, limit=limit)
    fresh = [row.seq for row in rows if row.state is CommandState.QUEUED and row.action not in MADE_WHEN_OFFERED]
    if fresh:
        await conn.execute(waiting.where(command.c.seq.in_(fresh)).values(state=CommandState.OFFERED, updated_at=now))
    return rows


async def pending(conn: AsyncConnection, endpoint_id: str, *, limit: int) -> list[CommandRow]:
    """Return the commands that wait for delivery, oldest first."""
    return await _select(conn, endpoint_id, limit, newest_first=False, states=WAITING)


async def list_page(conn: AsyncConnection, endpoint_id: str, *, limit: int) -> list[CommandRow]:
    """Return an endpoint's commands, newest first."""
    return await _select(conn, endpoint_id, limit, newest_first=True, states=CommandState)


async def states(conn: AsyncConnection, endpoint_id: str, ids: Collection[str]) -> dict[str, CommandState]:
    """Return the states of those of an endpoint's commands that have one of some ids."""
    found = select(command.c.id, command.c.state).where(command.c.endpoint_id == endpoint_id, command.c.id.in_(ids))
    return {str(row.id): CommandState(row.state) for row in await conn.execute(found)}


async def _select(
    conn: AsyncConnection,
    endpoint_id: str,
    limit: int,
    *,
    newest_first: bool,
    states: Iterable[CommandState],
) -> list[CommandRow]:
    order = command.c.seq.desc() if newest_first else command.c.seq
    found = select(command).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(list(states)))
    return [command_row(row) for row in await conn.execute(found.order_by(order).limit(limit))]


def command_row(row: Row[Any]) -> CommandRow:
    """Return a row of the table as what it means."""
    return CommandRow(**(row._asdict() | {"state": CommandState(row.state)}))


async def applied(conn: AsyncConnection, endpoint_id: str, command_id: str, action: str, now: int) -> None:
    """Record that the server saw the endpoint do what a command asks for; nothing if that is no news."""
    of_command = (command.c.endpoint_id == endpoint_id, command.c.id == command_id, command.c.action == action)
    unseen = command.c.state.in_(from_states(CommandEvent.APPLIED))
    done = {"state": CommandState.APPLIED, "updated_at": now}
    await conn.execute(update(command).where(*of_command, unseen).values(done))
    await recount(conn, endpoint_id)


async def lock(conn: AsyncConnection, endpoint_id: str) -> None:
    """Take the endpoint's row before its commands, in the order of the check-in writer, so none deadlock."""
    held = select(presence.c.seq).where(presence.c.endpoint_id == endpoint_id).with_for_update()
    if (await conn.execute(held)).one_or_none() is None:
        raise NotFoundError(f"no endpoint {endpoint_id}", repair="keyfast endpoint list")


async def recount(conn: AsyncConnection, endpoint_id: str) -> None:
    """Write how many commands wait for the endpoint, so that its next check-in asks for them."""
    waiting = select(func.count()).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(WAITING))
    await conn.execute(
        update(presence).where(presence.c.endpoint_id == endpoint_id).values(commands=waiting.scalar_subquery())
    )
