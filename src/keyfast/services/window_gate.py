"""The open recovery window, as the check-in process asks about it and tells it who came."""

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.window import Window, admits, covers, holds
from keyfast.core.window_endpoint import WindowEndpointEvent
from keyfast.services.live import LiveState
from keyfast.store import endpoints, events, windows
from keyfast.store.commands import CommandRow
from keyfast.store.database import Database


class WindowGate:
    """Whom the window covers, and how far they have come.

    While none is open nothing is read: ``Live.window`` says so, at most some seconds late. Whether one is
    still open is asked of the store, so that nobody slips in after it was closed.

    Args:
        live: says whether a window is open at all.
        database: the store.
    """

    def __init__(self, live: LiveState, database: Database) -> None:
        self._live = live
        self._database = database

    async def covering(self, endpoint_id: str, address: str, now: int) -> str | None:
        """Return the id of the open window that covers an endpoint at an address.

        An empty id is an endpoint that is not on record. It is in no set, so that its address alone decides;
        it must prove by other means who it is.

        Raises:
            NotReadyError: the store is down.
        """
        hint = self._live.current.window
        if hint is None or not admits(hint, address, now):
            return None
        async with self._database.read() as conn:
            window = await windows.open_now(conn, now)
            if window is None or not await _is_for(conn, window, endpoint_id, address, now):
                return None
        return window.id

    async def reached(self, conn: AsyncConnection, window_id: str, endpoint_id: str, now: int) -> None:
        """An endpoint that the window covers made a recovery check-in that was answered."""
        window = await windows.open_now(conn, now)
        if window is not None and window.id == window_id:
            await windows.join(conn, window_id, endpoint_id, at=now)
            await reached(conn, endpoint_id, now)

    async def proven(self, conn: AsyncConnection, endpoint_id: str, change: CommandRow | None, now: int) -> None:
        """An endpoint was let in by a probe with what ``change`` brought it; it is to check in with it still."""
        window = await windows.open_now(conn, now) if self._live.current.window and change else None
        if window is not None:
            await windows.tell(conn, window.id, [endpoint_id], WindowEndpointEvent.APPLIED, at=now)


async def _is_for(conn: AsyncConnection, window: Window, endpoint_id: str, address: str, now: int) -> bool:
    if not endpoint_id:
        return admits(window, address, now)
    if ids.parse_endpoint_id(endpoint_id) is None:
        return False
    if await windows.is_member(conn, window.id, endpoint_id):  # even if it moved to another account since
        return admits(window, address, now)
    record = await endpoints.get(conn, endpoint_id)
    if record is None:
        return False
    who = record.endpoint
    return covers(window, endpoint_id, who.ring, address, now, account=who.account_key)


async def reached(conn: AsyncConnection, endpoint_id: str, now: int) -> bool:
    """Record that an endpoint asked for recovery, if a window is open that is for it.

    One that was not on record yet when the window opened is taken in.

    Returns:
        Whether that is news; then it is an event, too.
    """
    window = await windows.open_now(conn, now)
    if window is None:
        return False
    news = await windows.tell(conn, window.id, [endpoint_id], WindowEndpointEvent.ASKED, at=now) > 0
    if not news:
        record = await endpoints.get(conn, endpoint_id)
        if record is None or not holds(window, endpoint_id, record.endpoint.ring, record.endpoint.account_key):
            return False
        if not await windows.join(conn, window.id, endpoint_id, at=now):
            return False
        await windows.tell(conn, window.id, [endpoint_id], WindowEndpointEvent.ASKED, at=now)
    await events.add(conn, at=now, kind="window_reached", endpoint_id=endpoint_id, detail={"window": window.id})
    return True
