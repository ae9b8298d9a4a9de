"""A hundred agents and more in this process, each with its own disk, clock and TLS connections."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.windows import WindowsRig

from keyfast.agent.client_database import Record

AT_ONCE = 16
"""Agents that visit at the same time."""
RESTART_EVERY = 4
PATIENCE = 3600.0
"""Virtual seconds an agent waits at most between two of its visits here."""


@dataclass
class Load:
    """What came of check-ins that went on all the time.

    Attributes:
        check_ins: accepted.
        missed: visits that tried and ended without one, with what the agent said. Some only try a new access.
        who: whose visits these were, in the same order; places of the agents in their fleet.
    """

    check_ins: int = 0
    missed: list[str] = field(default_factory=list)
    who: list[int] = field(default_factory=list)


class RigFleet:
    """Agents of one server. An agent's own time passes as fast as it wants to wait; the server's is real."""

    def __init__(self, rigs: Iterable[WindowsRig]) -> None:
        self.rigs = list(rigs)

    def __len__(self) -> int:
        return len(self.rigs)

    def records(self) -> list[Record]:
        """What each remembers."""
        return [rig.agent.record for rig in self.rigs]

    def said(self, rigs: Sequence[WindowsRig] | None = None) -> Counter[str]:
        """How the last visits ended."""
        return Counter(rig.said for rig in (self.rigs if rigs is None else rigs))

    async def visit(self, rigs: Sequence[WindowsRig] | None = None) -> None:
        """Everybody acts when it next wants to, once."""
        await self._each(self.rigs if rigs is None else rigs, visit_when_due)

    async def check_in(self, rigs: Sequence[WindowsRig] | None = None) -> None:
        """Everybody checks in now, whatever it waits for, as ``keyfast-agent check-in`` does."""
        await self._each(self.rigs if rigs is None else rigs, lambda rig: rig.check_in())

    def restart(self, rigs: Sequence[WindowsRig] | None = None) -> None:
        """Every agent's process ends and another begins."""
        for rig in self.rigs if rigs is None else rigs:
            rig.restart()

    async def until(
        self, done: Callable[[], bool], what: str, rigs: Sequence[WindowsRig] | None = None, visits: int = 60
    ) -> None:
        """Let everybody visit again and again until something is so."""
        for _ in range(visits):
            if done():
                return
            await self.visit(rigs)
        assert done(), f"{what}: {self.said()}"

    async def under_load(self, beside: Awaitable[object], rigs: Sequence[WindowsRig] | None = None) -> Load:
        """Check in all the time while something happens beside; return what came of it.

        Every agent is started anew after each few visits, as machines are.
        """
        load, over = Load(), asyncio.Event()
        everybody = list(self.rigs if rigs is None else rigs)

        async def go_on(part: Sequence[WindowsRig]) -> None:
            visits = 0
            while not over.is_set():
                visits += 1
                for rig in part:
                    before = rig.agent.record
                    await visit_when_due(rig)
                    after = rig.agent.record
                    if after.acked != before.acked:
                        load.check_ins += 1
                    elif after.seq != before.seq or after.failures:
                        load.missed.append(f"{rig.said}: {after.trouble}")
                        load.who.append(self.rigs.index(rig))
                    if visits % RESTART_EVERY == 0:
                        rig.restart()

        parts = [everybody[number::AT_ONCE] for number in range(min(AT_ONCE, len(everybody)))]
        workers = [asyncio.create_task(go_on(part)) for part in parts]
        try:
            await beside
        finally:
            over.set()
            await asyncio.gather(*workers)
        return load

    async def _each(self, rigs: Sequence[WindowsRig], act: Callable[[WindowsRig], Awaitable[object]]) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(rig: WindowsRig) -> None:
            async with at_once:
                await act(rig)

        await asyncio.gather(*(one(rig) for rig in rigs))


async def visit_when_due(rig: WindowsRig) -> None:
    """Let the agent's time pass until it acts, and let it act."""
    rig.clock.pass_time(min(rig.wait, PATIENCE) + 0.01)
    rig.wait = await rig.visit()
    await rig.agent.rest()
