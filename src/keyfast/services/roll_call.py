"""The roll call: walks all endpoints at a measured pace, counts them, and opens and ends incidents by what it counted.

One node makes it at a time. What it has counted so far is in memory: if it ends early, another begins anew when its
lease is over. What follows from a finished roll call is written in one transaction: counts, incidents and events.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import usual
from keyfast.core.diagnosis.engine import diagnose
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.holding import closed_modes, refused_credentials
from keyfast.core.incident import Incident, looked, opened
from keyfast.core.roll_call import EVERYBODY, Group, Key, Kind, RollCall
from keyfast.core.schedule import BACKOFF_CAP
from keyfast.core.silence import Known, Suspect, explain
from keyfast.core.visible import visible
from keyfast.services.follow import follow
from keyfast.services.live import LiveState
from keyfast.services.server_evidence import ServerEvidence, Shape, shape_of
from keyfast.store import events, incidents, nodes, roll_calls, traffic
from keyfast.store.database import Database
from keyfast.store.incidents import IncidentRow
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
_REMEMBERED = 8 * 86_400
"""Seconds for which an incident that is over keeps its silence from opening another."""


@dataclass(slots=True)
class _Walk:
    """A roll call under way."""

    turn: Turn
    counts: RollCall
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
        self._evidence = evidence
        self._holder = holder
        self._entropy = entropy
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
            open_ = await incidents.not_ended(conn)
        batches = ceil(expected / self._batch * TICK_SECONDS / (self._interval * _SPREAD))
        counts = RollCall(now, [row.incident.explains for row in open_])
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
        at, groups = walk.turn.began_at, walk.counts.groups
        async with self._database.write() as conn:
            if not await roll_calls.finish(conn, walk.turn, int(self._clock()), walk.counts.disks):
                return
            before = await roll_calls.groups(conn)
            open_ = await incidents.not_ended(conn)
            hour = usual.hour_of_week(at)
            shares = {key: usual.expected(counted.usual, hour) for key, counted in before.items()}
            for row in open_:
                await self._look(conn, row, groups, at)
            known = await self._known(conn, shares, {row.incident.key for row in open_}, at)
            settled = await self._settled(conn, known.interval_s, at)
            suspect = explain(groups, known) if settled else None
            if suspect is not None:
                await self._open(conn, suspect, shares.get(suspect.key, 0.0), groups, at)
            # Nothing is learnt from what is not usual.
            troubled = {row.incident.key for row in open_} if settled and suspect is None else set(groups)
            await roll_calls.put_groups(conn, _counted(groups, before, troubled, hour, at))

    async def _known(self, conn: AsyncConnection, shares: Mapping[Key, float], under_way: set[Key], at: int) -> Known:
        live = self._live.current
        over = await incidents.ended_since(conn, at - _REMEMBERED)
        return Known(
            at,
            live.policy.check_in_interval_s,
            shares,
            refused_credentials(self._evidence.standings(), at) | closed_modes(live.modes),
            under_way,
            {row.incident.key: row.incident.changed_at for row in over},
        )

    async def _settled(self, conn: AsyncConnection, interval_s: int, at: int) -> bool:
        """Whether endpoints had the time to come back: after an outage of all nodes everybody is late."""
        started = min((node.started_at for node in await nodes.load(conn)), default=0)
        if started <= at - interval_s - BACKOFF_CAP:
            return True
        heard_at = await traffic.last_check_ins(conn, started)
        return not heard_at or heard_at >= started - interval_s

    async def _look(self, conn: AsyncConnection, row: IncidentRow, groups: Mapping[Key, Group], at: int) -> None:
        seen, _ = looked(row.incident, groups.get(row.incident.key, Group()), at)
        moved = seen.silent != row.incident.silent and not seen.ended
        findings = await self._findings(conn, shape_of(seen), groups) if moved else row.findings
        await incidents.put(conn, IncidentRow(seen, findings))
        if seen.ended:
            await _tell(conn, seen, at, kind="incident_closed")

    async def _open(
        self, conn: AsyncConnection, suspect: Suspect, share: float, groups: Mapping[Key, Group], at: int
    ) -> None:
        made = opened(str(uuid.UUID(bytes=self._entropy(16), version=4)), suspect, share, at)
        findings = await self._findings(conn, shape_of(made), groups)
        await incidents.put(conn, IncidentRow(made, findings))
        await _tell(conn, made, at, findings, kind="incident_opened")

    async def _findings(self, conn: AsyncConnection, shape: Shape, groups: Mapping[Key, Group]) -> tuple[Finding, ...]:
        return diagnose(await self._evidence.collect(conn, shape, groups))


def _counted(
    groups: Mapping[Key, Group], before: Mapping[Key, Counted], troubled: set[Key], hour: int, at: int
) -> dict[Key, Counted]:
    """What is kept of a roll call; nothing is learnt from a group that has an incident."""
    kept = {}
    for key, group in groups.items():
        known = before[key].usual if key in before else ()
        if key not in troubled and key[0] is not Kind.REFUSAL:
            known = tuple(usual.learnt(known, hour, group.unexplained, group.judged))
        kept[key] = Counted(group, known, at)
    return kept


async def _tell(
    conn: AsyncConnection, seen: Incident, at: int, findings: tuple[Finding, ...] = (), *, kind: str
) -> None:
    detail = {
        "incident": seen.id,
        "group": seen.kind.value,
        "name": visible(seen.name),
        "state": seen.state.value,
        "silent": seen.silent,
        "endpoints": seen.endpoints,
        "most": seen.most,
        "began_at": seen.began_at,
        "cause": findings[0].code if findings else "",
    }
    await events.add(conn, at=at, kind=kind, endpoint_id=None, detail=detail)
