"""How far the endpoints of recovery windows are, for who looks: a large window is not counted at each look."""

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.window import WindowState
from keyfast.core.window_endpoint import Counts
from keyfast.store import windows
from keyfast.store.windows import WindowRow

LARGE = 20_000
"""Endpoints of a window beyond which its counts are kept."""
AGAIN_SECONDS = 5
"""An open window is counted anew so often by the job that watches over it ..."""
KEPT_SECONDS = 15
"""... and by who looks, where the job did not; one that ended is counted once."""


class KeptCounts:
    """Counts windows. Who decides by a number counts anew (``store.windows.counts``).

    Args:
        clock: unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, WindowState], tuple[float, Counts]] = {}

    async def of(self, conn: AsyncConnection, row: WindowRow) -> Counts:
        """Return the counts of a window, some seconds old if it is large."""
        at, counts = self._kept.get((row.window.id, row.state), (0.0, Counts()))
        if counts.total > LARGE and (row.state is not WindowState.OPEN or self._is_good(at, KEPT_SECONDS)):
            return counts
        return await self._anew(conn, row)

    async def keep(self, conn: AsyncConnection, row: WindowRow) -> None:
        """Count a window for those who will look, if it is large; call it every now and then."""
        at, counts = self._kept.get((row.window.id, row.state), (0.0, None))
        if counts is None or (counts.total > LARGE and not self._is_good(at, AGAIN_SECONDS)):
            await self._anew(conn, row)

    async def _anew(self, conn: AsyncConnection, row: WindowRow) -> Counts:
        counts = await windows.counts(conn, row.window.id)
        self._kept[row.window.id, row.state] = (self._clock(), counts)
        return counts

    def _is_good(self, at: float, seconds: float) -> bool:
        return 0 <= self._clock() - at < seconds
