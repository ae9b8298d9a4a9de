"""A fleet in virtual time: who acts when, and what came of it."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from keyfast.simulation.endpoint import Disk, Endpoint, Faults, installed
from keyfast.simulation.habits import DAY, Calendar, Habit, calendar
from keyfast.simulation.site import Site
from keyfast.wire.bundle import Bundle

SLICE = 300.0
"""Virtual seconds in which acts count as simultaneous."""
AT_ONCE = 256
"""Endpoints that act at the same time, so that their check-ins share a commit."""
TICK = 3600.0
"""Virtual seconds between two rounds of the server's background jobs."""
ROLL_CALL = 4 * DAY
"""At the end everybody is in reach for so long; whoever has not checked in by then is stranded."""


@dataclass(slots=True)
class Day:
    """What happened on one virtual day.

    Attributes:
        check_ins: accepted.
        missed: visits of an endpoint in reach, whose check-in was due, that ended without one.
        why: the reasons, by refusal class or ``unreached``.
    """

    check_ins: int = 0
    missed: int = 0
    why: Counter[str] = field(default_factory=Counter)


class Fleet:
    """Endpoints and their server.

    Args:
        site: the server.
        days: how long the simulation lasts.
        seed: makes it repeatable.
        faults: of the network.

    Attributes:
        order: what packages of this fleet are ordered with.
    """

    def __init__(self, site: Site, days: int, seed: int, faults: Faults) -> None:
        self.site = site
        self.start = site.time.now
        self.days = days
        self.seed = seed
        self.faults = replace(faults, coming=list(faults.coming))  # what happens to it happens to this fleet
        self.order: dict[str, str] = {}
        self.endpoints: list[Endpoint] = []
        self.log: dict[int, Day] = {}
        self._due: list[tuple[float, int]] = []
        self._ticked = 0.0

    async def join(self, count: int, bundle: Bundle) -> None:
        """Install a package on ``count`` more machines; each joins when it is next in reach."""
        for _ in range(count):
            number = len(self.endpoints)
            self.add(installed(bundle), calendar(number, int(self.site.time.now), self.days, self.seed))

    def add(self, disk: Disk, when: Calendar) -> Endpoint:
        """Put a machine with this disk into the fleet."""
        number, time = len(self.endpoints), self.site.time
        made = Endpoint(number, disk, when, time, self.site.net, self.faults, self.seed)
        self.endpoints.append(made)
        heapq.heappush(self._due, (when.next_in_reach(time.now + made.chance.random() * DAY), number))
        return made

    async def run(self, until: float, progress: Callable[[float], None]) -> None:
        """Let virtual time pass until ``until``."""
        time = self.site.time
        while self._due and self._due[0][0] < until:
            begin = max(time.now, self._due[0][0])
            await self._jobs(begin)
            time.now = begin
            batch: list[Endpoint] = []
            while self._due and self._due[0][0] < min(begin + SLICE, until) and len(batch) < AT_ONCE:
                due, number = heapq.heappop(self._due)
                time.now = max(begin, due)  # the last one's: whoever is woken too early only waits again
                batch.append(self.endpoints[number])
            await asyncio.gather(*(self._visit(endpoint) for endpoint in batch))
            progress(time.now)
        await self._jobs(until)
        time.now = max(time.now, until)

    async def roll_call(self, progress: Callable[[float], None]) -> list[Endpoint]:
        """Bring everybody into reach for a while; return those that are stranded all the same."""
        began = self.site.time.now
        self._due = []
        for endpoint in self.endpoints:
            endpoint.calendar = Calendar(Habit.DESKTOP, 0, 24)
            endpoint.restart()
            heapq.heappush(self._due, (began + endpoint.chance.random() * 3600, endpoint.number))
        await self.run(began + ROLL_CALL, progress)
        return [endpoint for endpoint in self.endpoints if endpoint.record.last_success_at < began]

    async def _jobs(self, at: float) -> None:
        """Run the background jobs for the time that passes without anybody acting."""
        time = self.site.time
        while self._ticked + TICK <= at:
            self._ticked = max(self._ticked + TICK, at - DAY)
            time.now = max(time.now, self._ticked)
            await self.site.tick()

    async def _visit(self, endpoint: Endpoint) -> None:
        time = self.site.time
        before = endpoint.record
        wait = await endpoint.visit()
        day = self.log.setdefault(int((time.now - self.start) // DAY), Day())
        after = endpoint.record
        if after.last_success_at > before.last_success_at:
            day.check_ins += 1
        elif after.failures > before.failures:
            day.missed += 1
            last = after.last_refusal
            told = last is not None and after.trouble.endswith(f": {last.kind}")
            day.why[last.kind if last is not None and told else "unreached"] += 1
        self._sleep(endpoint, time.now + wait)

    def _sleep(self, endpoint: Endpoint, due: float) -> None:
        wakes = endpoint.calendar.next_in_reach(due)
        if wakes > due + 3600 and endpoint.chance.random() < 0.5:  # noqa: PLR2004 - half of them are switched off
            endpoint.restart()
        heapq.heappush(self._due, (max(wakes, self.site.time.now + 1.0), endpoint.number))


Act = Callable[[Fleet], Awaitable[None]]
"""What an administrator, a colleague or fate does on some day."""
