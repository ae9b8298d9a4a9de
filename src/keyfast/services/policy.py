"""The policy that endpoints follow: shown with the load it makes, changed for all of them; every change is an event."""

from collections.abc import Callable

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.roll_call import EVERYBODY
from keyfast.errors import NotReadyError
from keyfast.services.live import LiveState
from keyfast.store import events, policies, roll_calls
from keyfast.store.database import Database
from keyfast.store.policies import PolicyRow
from keyfast.wire import limits
from keyfast.wire.policy import PolicyOrder, PolicyView


class PolicyService:
    """Shows and changes the policy. Endpoints take a new one with their next check-in, which is due by the old one."""

    def __init__(self, live: LiveState, database: Database, clock: Callable[[], float]) -> None:
        self._live = live
        self._database = database
        self._clock = clock

    async def show(self) -> PolicyView:
        """The policy in force."""
        async with self._database.read() as conn:
            return await _view(conn, await _in_force(conn))

    async def change(self, order: PolicyOrder, by: str) -> PolicyView:
        """Put another policy in force; the one that is in force already stays as it is.

        Raises:
            UsageError: the interval is too short or too long.
            ConflictError: somebody else changed it at the same moment.
        """
        limits.demand_interval(order.check_in_interval_s)
        now = int(self._clock())
        async with self._database.write() as conn:
            found = await _in_force(conn)
            before = found.content
            if before.check_in_interval_s != order.check_in_interval_s:
                wanted = replace(before, version=before.version + 1, check_in_interval_s=order.check_in_interval_s)
                found = PolicyRow(wanted, now)
                await policies.add(conn, wanted, created_at=now)
                detail = {
                    "version": wanted.version,
                    "interval_s": wanted.check_in_interval_s,
                    "before_s": before.check_in_interval_s,
                    "by": by,
                }
                await events.add(conn, at=now, kind="policy_changed", endpoint_id=None, detail=detail)
            view = await _view(conn, found)
        await self._live.refresh()
        return view


async def _in_force(conn: AsyncConnection) -> PolicyRow:
    found = await policies.in_force(conn)
    if found is None:
        raise NotReadyError("the installation has no policy yet")
    return found


async def _view(conn: AsyncConnection, row: PolicyRow) -> PolicyView:
    counted = await roll_calls.group(conn, EVERYBODY)
    endpoints = counted.group.endpoints if counted else 0
    content = row.content
    rate = round(endpoints / content.check_in_interval_s, 3)
    return PolicyView(content.version, content.check_in_interval_s, row.created_at, endpoints, rate)
