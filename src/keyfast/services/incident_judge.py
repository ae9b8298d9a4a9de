"""What follows from a roll call for incidents: they are looked at, named better, opened and ended."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.diagnosis.engine import diagnose
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.holding import closed_modes, refused_credentials
from keyfast.core.incident import Incident, IncidentEvent, happened, looked, opened, renamed
from keyfast.core.incident_counts import Counts
from keyfast.core.roll_call import Group, Key
from keyfast.core.schedule import BACKOFF_CAP
from keyfast.core.silence import Known, Suspect, better, explain
from keyfast.core.visible import visible
from keyfast.services.live import LiveState
from keyfast.services.server_evidence import ServerEvidence, Shape, shape_of
from keyfast.store import events, incidents, nodes, traffic
from keyfast.store.incidents import IncidentRow

_REMEMBERED = 8 * 86_400
"""Seconds for which an incident that is over keeps its silence from opening another."""

Groups = Mapping[Key, Group]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts to keep, and the groups from which nothing usual is to be learnt."""

    groups: Groups
    troubled: set[Key]


class IncidentJudge:
    """Judges what a roll call has counted.

    Args:
        live: policy, accounts and modes in force.
        evidence: collects what findings are made of.
        entropy: random bytes, for ids of incidents.
    """

    def __init__(self, live: LiveState, evidence: ServerEvidence, entropy: Callable[[int], bytes]) -> None:
        self._live = live
        self._evidence = evidence
        self._entropy = entropy

    async def judge(self, conn: AsyncConnection, counts: Counts, shares: Mapping[Key, float], at: int) -> Verdict:
        """Write what follows from a roll call.

        Args:
            conn: a transaction.
            counts: what was counted.
            shares: share of silent endpoints that is usual now, by group.
            at: when the roll call began.
        """
        groups = counts.all.groups
        open_ = await incidents.not_ended(conn)
        young = [row for row in open_ if row.incident.id in counts.young]
        known = await self._known(conn, shares, {row.incident.key for row in open_}, at)
        settled = await self._settled(conn, known.interval_s, at)
        # If a person gave one up meanwhile, the next roll call tells.
        named = None
        if settled and young and len(young) == len(counts.young):
            named = better([row.incident.key for row in young], groups, counts.afresh.groups, known)
        if named is not None:
            groups = counts.afresh.groups
            await self._rename(conn, young, named, shares, groups, at)
        for row in open_:
            if named is None or row not in young:
                await self._look(conn, row, groups, at)
        suspect = explain(groups, known) if settled and named is None else None
        if suspect is not None:
            await self._open(conn, suspect, shares, groups, at)
        calm = settled and suspect is None and named is None
        return Verdict(groups, {row.incident.key for row in open_} if calm else set(groups))

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

    async def _look(self, conn: AsyncConnection, row: IncidentRow, groups: Groups, at: int) -> None:
        seen, _ = looked(row.incident, groups.get(row.incident.key, Group()), at)
        moved = seen.silent != row.incident.silent and not seen.ended
        findings = await self._findings(conn, shape_of(seen), groups) if moved else row.findings
        await incidents.put(conn, IncidentRow(seen, findings))
        if seen.ended:
            await _tell(conn, seen, at, kind="incident_closed")

    async def _open(
        self, conn: AsyncConnection, suspect: Suspect, shares: Mapping[Key, float], groups: Groups, at: int
    ) -> None:
        made_id = str(uuid.UUID(bytes=self._entropy(16), version=4))
        made = opened(made_id, suspect, shares.get(suspect.key, 0.0), at)
        findings = await self._findings(conn, shape_of(made), groups)
        await incidents.put(conn, IncidentRow(made, findings))
        await _tell(conn, made, at, findings, kind="incident_opened")

    async def _rename(
        self,
        conn: AsyncConnection,
        young: Sequence[IncidentRow],
        suspect: Suspect,
        shares: Mapping[Key, float],
        groups: Groups,
        at: int,
    ) -> None:
        """Give the oldest its better name; the others become a part of it."""
        first, *others = young
        made = renamed(first.incident, suspect, shares.get(suspect.key, 0.0), at)
        findings = await self._findings(conn, shape_of(made), groups)
        await incidents.put(conn, IncidentRow(made, findings))
        await _tell(conn, made, at, findings, kind="incident_renamed")
        for row in others:
            ended = happened(row.incident, IncidentEvent.MERGED, at)
            await incidents.put(conn, IncidentRow(ended, row.findings))
            await _tell(conn, ended, at, kind="incident_closed", into=made.id)

    async def _findings(self, conn: AsyncConnection, shape: Shape, groups: Groups) -> tuple[Finding, ...]:
        return diagnose(await self._evidence.collect(conn, shape, groups))


async def _tell(
    conn: AsyncConnection, seen: Incident, at: int, findings: tuple[Finding, ...] = (), *, kind: str, **more: str
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
        **more,
    }
    await events.add(conn, at=at, kind=kind, endpoint_id=None, detail=detail)
