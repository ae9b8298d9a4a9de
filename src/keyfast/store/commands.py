"""Commands to one endpoint: signed by the caller, offered until the endpoint says it has them."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.errors import NotFoundError
from keyfast.store.tables import command, presence


class CommandState(StrEnum):
    """States of a command. It is delivered once the endpoint says ``received`` or more."""

    QUEUED = "queued"
    OFFERED = "offered"
    RECEIVED = "received"
    APPLIED = "applied"
    FAILED = "failed"
    EXPIRED = "expired"


WAITING = (CommandState.QUEUED, CommandState.OFFERED)
FINAL = (CommandState.APPLIED, CommandState.FAILED)


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command (``statement`` is a JWS, times in unix seconds)."""

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


async def next_seq(conn: AsyncConnection, endpoint_id: str) -> int:
    """Return the number the next command must carry, and hold the endpoint's row until the commit.

    Raises:
        NotFoundError: there is no such endpoint.
    """
    await _lock(conn, endpoint_id)
    last = await conn.scalar(select(func.max(command.c.seq)).where(command.c.endpoint_id == endpoint_id))
    return (last or 0) + 1


async def queue(conn: AsyncConnection, row: CommandRow) -> None:
    """Queue a command; ``row.seq`` comes from ``next_seq`` in the same transaction, as it is signed too."""
    await conn.execute(insert(command).values(asdict(row)))
    await _recount(conn, row.endpoint_id)


async def offer(conn: AsyncConnection, endpoint_id: str, *, now: int, limit: int) -> list[CommandRow]:
    """Take what to send with an answer, oldest first; what has expired is marked so instead."""
    await _lock(conn, endpoint_id)
    waiting = update(command).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(WAITING))
    late = await conn.execute(
        waiting.where(command.c.expires_at <= now).values(state=CommandState.EXPIRED, updated_at=now)
    )
    if late.rowcount:
        await _recount(conn, endpoint_id)
    rows = await pending(conn, endpoint_id, limit=limit)
    fresh = [row.seq for row in rows if row.state is CommandState.QUEUED]
    if fresh:
        await conn.execute(
            waiting.where(command.c.seq.in_(fresh)).values(state=CommandState.OFFERED, updated_at=now)
        )
    return rows


async def pending(conn: AsyncConnection, endpoint_id: str, *, limit: int) -> list[CommandRow]:
    """Return the commands that wait for delivery, oldest first."""
    return await _select(conn, endpoint_id, limit, newest_first=False, states=WAITING)


async def list_page(conn: AsyncConnection, endpoint_id: str, *, limit: int) -> list[CommandRow]:
    """Return an endpoint's commands, newest first."""
    return await _select(conn, endpoint_id, limit, newest_first=True, states=tuple(CommandState))


async def set_state(
    conn: AsyncConnection,
    endpoint_id: str,
    command_id: str,
    state: CommandState,
    *,
    at: int,
    detail: str = "",
) -> bool:
    """Record what became of a command; False if it is unknown or already came to an end."""
    await _lock(conn, endpoint_id)
    changed = await conn.execute(
        update(command)
        .where(
            command.c.endpoint_id == endpoint_id, command.c.id == command_id, command.c.state.not_in(FINAL)
        )
        .values(state=state, updated_at=at, detail=detail)
    )
    await _recount(conn, endpoint_id)
    return changed.rowcount == 1


async def _select(
    conn: AsyncConnection,
    endpoint_id: str,
    limit: int,
    *,
    newest_first: bool,
    states: tuple[CommandState, ...],
) -> list[CommandRow]:
    order = command.c.seq.desc() if newest_first else command.c.seq
    found = select(command).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(states))
    rows = (row._asdict() for row in await conn.execute(found.order_by(order).limit(limit)))
    return [CommandRow(**(row | {"state": CommandState(row["state"])})) for row in rows]


async def _lock(conn: AsyncConnection, endpoint_id: str) -> None:
    """Take the endpoint's row before its commands, in the order of the check-in writer, so none deadlock."""
    held = select(presence.c.seq).where(presence.c.endpoint_id == endpoint_id).with_for_update()
    if (await conn.execute(held)).one_or_none() is None:
        raise NotFoundError(f"no endpoint {endpoint_id}", repair="keyfast endpoint list")


async def _recount(conn: AsyncConnection, endpoint_id: str) -> None:
    waiting = select(func.count()).where(command.c.endpoint_id == endpoint_id, command.c.state.in_(WAITING))
    await conn.execute(
        update(presence)
        .where(presence.c.endpoint_id == endpoint_id)
        .values(commands=waiting.scalar_subquery())
    )
