"""The roll call: walks all endpoints at a measured pace, counts them, and opens and ends incidents by what it counted.

One node makes it at a time. What it has counted so far is in memory: if it ends early, another begins anew when its
lease is over. What follows from a finished roll call is written in one transaction: counts, incidents and events.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from keyfast.core import usual
from keyfast.core.incident_counts import Counts
from keyfast.core.roll_call import EVERYBODY, Key, Kind
from keyfast.services.follow import follow
from keyfast.services.incident_judge import IncidentJudge, Verdict
from keyfast.services.live import LiveState
from keyfast.services.server_evidence import ServerEvidence
from keyfast.store import incidents, roll_calls
from keyfast.store.database import Database
from keyfast.store.roll_calls import Counted, Turn

TICK_SECONDS = 1.0
INTERVAL_SECONDS = 300
"""Between the beginnings of two roll calls; a walk is spread over the most of it."""
FIRST_SECONDS = 30
"""The same while nobody was counted yet: whoever enrols the first endpoint looks for it."""
BATCH = 2000
LEASE_SECONDS = 60
_SPREAD = 0.8
"""Share of the interval over which a walk is spread."""


@dataclass(slots=True)
class _Walk:
    """A roll call under way."""

    turn: Turn
    counts: Counts
    lease_until: int
    batches: int
    after: str = ""


class RollCallService:
    """Makes roll calls. One per admin process.

    Args:
        database: the store.
        live: policy, accounts and modes in force.
        evidence: collects what findings are made of.
        holder: name of this process; no other has it.
        entropy: random bytes, for ids of incidents.
        clock: unix seconds.
        interval: seconds between two roll calls.
        batch: endpoints read at once.
    """

    def __init__(
        self,
        database: Database,
        live: LiveState,
        evidence: ServerEvidence,
        holder: str,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
        interval: int = INTERVAL_SECONDS,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._live = live
        self._judge = IncidentJudge(live, evidence, entropy)
        self._holder = holder
        self._clock = clock
        self._interval = interval
        self._batch = batch
        self._walk: _Walk | None = None

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Make roll calls for ever."""
        await follow(self.tick, TICK_SECONDS, failed)

    async def tick(self) -> None:
        """Go a part of the way; what was counted of a walk that fails is dropped.

        Raises:
            NotReadyError: the store is down.
        """
        walk, self._walk = self._walk or await self._begin(), None
        if walk is not None and await self._go_on(walk):
            self._walk = walk

    async def now(self) -> None:
        """Go the whole way at once, if it is due."""
        await self.tick()
        while self._walk is not None:
            await self.tick()

    async def _begin(self) -> _Walk | None:
        now = int(self._clock())
        async with self._database.read() as conn:
            began_at, ended_at = await roll_calls.last(conn)
            counted = await roll_calls.group(conn, EVERYBODY)
        expected = counted.group.endpoints if counted else 0
        interval = self._interval if expected else min(self._interval, FIRST_SECONDS)
        if began_at > now - interval and ended_at >= began_at:
            return None
        turn = Turn(self._holder, now)
        async with self._database.write() as conn:
            if not await roll_calls.claim(conn, turn, interval=interval, lease=LEASE_SECONDS):
                return None
            open_ = [row.incident for row in await incidents.not_ended(conn)]
        batches = ceil(expected / self._batch * TICK_SECONDS / (self._interval * _SPREAD))
        counts = Counts(now, open_, self._live.current.policy.check_in_interval_s)
        return _Walk(turn, counts, now + LEASE_SECONDS, max(batches, 1))

    async def _go_on(self, walk: _Walk) -> bool:
        """Count some endpoints; False once the walk is over, or another has the turn."""
        now = int(self._clock())
        if walk.lease_until - now < LEASE_SECONDS // 2:
            walk.lease_until = now + LEASE_SECONDS
            async with self._database.write() as conn:
                if not await roll_calls.go_on(conn, walk.turn, walk.lease_until):
                    return False
        for _ in range(walk.batches):
            async with self._database.read() as conn:
                lines, walk.after = await roll_calls.page(conn, walk.after, self._batch)
            walk.counts.count(lines)
            if not walk.after:
                await self._finish(walk)
                return False
        return True

    async def _finish(self, walk: _Walk) -> None:
        at, counts = walk.turn.began_at, walk.counts
        async with self._database.write() as conn:
            if not await roll_calls.finish(conn, walk.turn, int(self._clock()), counts.all.disks):
                return
            before = await roll_calls.groups(conn)
            hour = usual.hour_of_week(at)
            shares = {key: usual.expected(counted.usual, hour) for key, counted in before.items()}
            verdict = await self._judge.judge(conn, counts, shares, at)
            await roll_calls.put_groups(conn, _counted(verdict, before, hour, at))


def _counted(verdict: Verdict, before: Mapping[Key, Counted], hour: int, at: int) -> dict[Key, Counted]:
    """What is kept of a roll call; nothing is learnt from a group that has an incident."""
    kept = {}
    for key, group in verdict.groups.items():
        known = before[key].usual if key in before else ()
        if key not in verdict.troubled and key[0] is not Kind.REFUSAL:
            known = tuple(usual.learnt(known, hour, group.unexplained, group.judged))
        kept[key] = Counted(group, known, at)
    return kept
