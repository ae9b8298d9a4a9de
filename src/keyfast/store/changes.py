"""Changes of the web access server among the commands: found by rotation or id, and put as they are offered."""

from dataclasses import asdict, replace

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import CommandState
from keyfast.store import commands
from keyfast.store.commands import CommandRow, command_row
from keyfast.store.tables import command
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER

_OPEN = [
    state.value
    for state in CommandState
    if state not in {CommandState.APPLIED, CommandState.VERIFIED, CommandState.SUPERSEDED, CommandState.WAIVED}
]


async def of_rotation(conn: AsyncConnection, endpoint_id: str, rotation_id: str) -> CommandRow | None:
    """Return the endpoint's change of a rotation, whatever became of it."""
    return await _newest(conn, endpoint_id, (command.c.rotation_id == rotation_id,))


async def own(conn: AsyncConnection, endpoint_id: str) -> CommandRow | None:
    """Return the endpoint's change that belongs to no rotation and that it has not made yet."""
    return await _newest(conn, endpoint_id, (command.c.rotation_id.is_(None), command.c.state.in_(_OPEN)))


async def by_id(conn: AsyncConnection, endpoint_id: str, command_id: str) -> CommandRow | None:
    """Return the endpoint's change of this id."""
    return await _newest(conn, endpoint_id, (command.c.id == command_id,))


async def newest_other(conn: AsyncConnection, row: CommandRow) -> CommandRow | None:
    """Return the newest change of the same endpoint that is not this one."""
    return await _newest(conn, row.endpoint_id, (command.c.id != row.id,))


async def add(conn: AsyncConnection, row: CommandRow) -> None:
    """Put a change on record; unlike ``commands.queue`` it supersedes nothing, as rotations count on theirs."""
    await conn.execute(insert(command).values(asdict(row)))


async def put(conn: AsyncConnection, before: CommandRow, after: CommandRow) -> None:
    """Replace a row by what it is now, its number and statement included."""
    same = (command.c.endpoint_id == before.endpoint_id, command.c.seq == before.seq)
    await conn.execute(update(command).where(*same).values(asdict(after)))


async def mark(conn: AsyncConnection, row: CommandRow, state: CommandState, now: int) -> None:
    """Record a row's new state, and how many commands wait after that."""
    await put(conn, row, replace(row, state=state, updated_at=now))
    await commands.recount(conn, row.endpoint_id)


async def _newest(conn: AsyncConnection, endpoint_id: str, which: tuple[ColumnElement[bool], ...]) -> CommandRow | None:
    """One endpoint has few commands, and they are next to each other."""
    found = select(command).where(
        command.c.endpoint_id == endpoint_id, command.c.action == CHANGE_WEB_ACCESS_SERVER, *which
    )
    row = (await conn.execute(found.order_by(command.c.seq.desc()).limit(1))).one_or_none()
    return None if row is None else command_row(row)
