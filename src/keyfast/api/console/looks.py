"""Looking at what moves: once for all who watch the same, and no more often than it is worth."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from keyfast.api.console.live import Live
from keyfast.core.live_stream import pause


@dataclass(frozen=True, slots=True)
class Look:
    """A part that moves as it was a moment ago.

    Attributes:
        text: the part as markup.
        next_at: when it is worth looking again.
    """

    live: Live
    text: str
    next_at: float


class Looks:
    """The looks of this process.

    Args:
        render: makes markup of a part.
        clock: seconds; does not go back.
    """

    def __init__(self, render: Callable[[Live], str], clock: Callable[[], float]) -> None:
        self._render = render
        self._clock = clock
        self._kept: dict[str, asyncio.Task[Look]] = {}

    async def at(self, what: str, look: Callable[[], Awaitable[Live]]) -> Look:
        """Return a look at something; who comes while one is taken, or soon after, gets that one.

        Args:
            what: names it, whoever looks.
            look: looks at it; what it raises is raised to all who wait.
        """
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if _is_of_use(kept, now)}
        if what not in self._kept:
            self._kept[what] = asyncio.create_task(self._take(look))
        return await asyncio.shield(self._kept[what])

    def rest(self, found: Look) -> float:
        """Return the seconds until it is worth looking again."""
        return max(found.next_at - self._clock(), 0.0)

    async def _take(self, look: Callable[[], Awaitable[Live]]) -> Look:
        began_at = self._clock()
        live = await look()
        text = self._render(live)
        ended_at = self._clock()
        return Look(live, text, ended_at + pause(live.every, ended_at - began_at))


def _is_of_use(kept: asyncio.Task[Look], now: float) -> bool:
    if not kept.done():
        return True
    return not kept.cancelled() and kept.exception() is None and now < kept.result().next_at
