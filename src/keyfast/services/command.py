"""Commands to endpoints: signed by the command role for one endpoint, delivered with its next check-in."""

import secrets
import uuid
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import CommandState
from keyfast.errors import NotFoundError
from keyfast.services.live import LiveState
from keyfast.store import commands, endpoints, events
from keyfast.store.commands import CommandRow
from keyfast.store.database import Database
from keyfast.trust.roles import COMMAND_TYP
from keyfast.wire import limits
from keyfast.wire.messages import Command
from keyfast.wire.renewal import RENEW_DEVICE_KEY

LIFETIME = 7 * 86400


class CommandService:
    """Queues commands."""

    def __init__(self, live: LiveState, database: Database, clock: Callable[[], float]) -> None:
        self._live = live
        self._database = database
        self._clock = clock

    async def check_in_now(self, endpoint_id: str, interval_s: int, by: str) -> CommandRow:
        """Queue ``CheckInNow``: check in again at once, and from then on every ``interval_s`` unless 0."""
        if interval_s:
            limits.demand_interval(interval_s)
        live, now = self._live.current, int(self._clock())
        async with self._database.write() as conn:
            await _demand_known(conn, endpoint_id)
            claims = Command(
                installation=live.installation.id,
                id=_new_id(),
                endpoint=endpoint_id,
                seq=await commands.next_seq(conn, endpoint_id),
                issued_at=now,
                expires_at=now + LIFETIME,
                action="CheckInNow",
                interval_s=interval_s,
            )
            row = CommandRow(
                endpoint_id=endpoint_id,
                seq=claims.seq,
                id=claims.id,
                action=claims.action,
                statement=live.keyset.sign(COMMAND_TYP, claims),
                state=CommandState.QUEUED,
                created_at=now,
                expires_at=claims.expires_at,
                updated_at=now,
            )
            await _queue(conn, row, by)
        return row

    async def renew_key(self, endpoint_id: str, by: str) -> CommandRow:
        """Queue ``RenewDeviceKey``; it is signed when it is offered (``services.renew``)."""
        now = int(self._clock())
        async with self._database.write() as conn:
            await _demand_known(conn, endpoint_id)
            row = CommandRow(
                endpoint_id=endpoint_id,
                seq=await commands.next_seq(conn, endpoint_id),
                id=_new_id(),
                action=RENEW_DEVICE_KEY,
                statement="",
                state=CommandState.QUEUED,
                created_at=now,
                expires_at=now + LIFETIME,
                updated_at=now,
            )
            await _queue(conn, row, by)
        return row


async def _demand_known(conn: AsyncConnection, endpoint_id: str) -> None:
    if await endpoints.get(conn, endpoint_id) is None:
        raise NotFoundError(f"no endpoint {endpoint_id}", repair="keyfast endpoint list")


async def _queue(conn: AsyncConnection, row: CommandRow, by: str) -> None:
    await commands.queue(conn, row)
    detail = {"command": row.id, "action": row.action, "by": by}
    await events.add(conn, at=row.created_at, kind="command_queued", endpoint_id=row.endpoint_id, detail=detail)


def _new_id() -> str:
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
