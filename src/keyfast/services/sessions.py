"""Browser sessions, as administrators see and end them."""

from collections.abc import Callable

from keyfast.core.visible import visible
from keyfast.errors import NotFoundError
from keyfast.store import events, sessions
from keyfast.store.database import Database
from keyfast.wire.people import SessionLine


class SessionService:
    """Reads and ends sessions; it never holds what opens one."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def list_(self, after: str, limit: int) -> list[SessionLine]:
        """One page, newest first, beginning after a session's id; empty for the first."""
        async with self._database.read() as conn:
            rows = await sessions.list_page(conn, after=after, limit=limit)
        return [SessionLine(row.id, person, row.begun_at, row.seen_at, row.address) for row, person in rows]

    async def end(self, session_id: str, by: str) -> None:
        """End a session, at once.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self._database.write() as conn:
            if not await sessions.end_by_id(conn, session_id):
                raise NotFoundError(f"no session {visible(session_id)}", repair="keyfast session list")
            detail = {"session": session_id, "by": by}
            await events.add(conn, at=int(self._clock()), kind="session_ended", endpoint_id=None, detail=detail)
