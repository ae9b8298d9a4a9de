"""Incidents for people: which there are, what is behind one, and what can be done about it."""

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import holding, usual
from keyfast.core.diagnosis.engine import diagnose
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.holding import Holding
from keyfast.core.incident import ENDED, Incident, IncidentEvent, happened
from keyfast.core.powershell import quoted
from keyfast.core.roll_call import EVERYBODY, Group, Key, Kind, credential_name, credential_of
from keyfast.core.visible import visible
from keyfast.core.way_out import Need, Way
from keyfast.errors import ConflictError, NotFoundError
from keyfast.services.live import LiveState
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.server_evidence import ServerEvidence, shape_of
from keyfast.store import events, incidents, packages, roll_calls, traffic
from keyfast.store.database import Database
from keyfast.store.incidents import IncidentRow
from keyfast.store.roll_calls import Counted
from keyfast.wire.incident import (
    CourseView,
    GroupLine,
    HoldingLine,
    IncidentLine,
    IncidentView,
    MinuteLine,
    OptionLine,
    RollCallView,
)
from keyfast.wire.recovery import WayLine

_NEEDS = {
    Need.PASSWORD.value: "--password-file -",
    Need.ACCOUNT.value: "--to 'DOMAIN\\NAME'",
    Need.WINDOW.value: "--reason WHY --address RANGE",
}


class IncidentService:
    """Incidents and roll calls, for administrators. It reads what roll calls have written, never the endpoints.

    Args:
        database: the store.
        live: what this server accepts.
        evidence: collects what findings are made of.
        options: counts the ways out of an account's outage.
        clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        live: LiveState,
        evidence: ServerEvidence,
        options: RecoveryOptionsService,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._live = live
        self._evidence = evidence
        self._options = options
        self._clock = clock

    async def list_(self, before: str, limit: int) -> list[IncidentLine]:
        """Incidents, newest first."""
        async with self._database.read() as conn:
            return [_line(row.incident, row.findings) for row in await incidents.page(conn, before=before, limit=limit)]

    async def show(self, incident_id: str) -> IncidentView:
        """One incident; while it has not ended it is diagnosed anew.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.read() as conn:
            row = await self._row(conn, incident_id)
            found, findings = row.incident, row.findings
            account, holdings = await self._held(conn, found.key)
            if not found.ended:
                counted = await roll_calls.groups(conn, {EVERYBODY, found.key})
                groups = {key: one.group for key, one in counted.items()}
                findings = diagnose(await self._evidence.collect(conn, shape_of(found), groups))
        options = await self._ways(account) if account and not found.ended else ()
        return IncidentView(
            _line(found, findings),
            tuple(map(visible, found.names)),
            found.course,
            tuple(HoldingLine(held.held, held.accepts, held.accepted) for held in holdings),
            findings,
            options,
        )

    async def course(self, incident_id: str) -> CourseView:
        """How an incident goes, as the last roll call had it: for who watches; nothing is diagnosed.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.read() as conn:
            row = await self._row(conn, incident_id)
        return CourseView(
            _line(row.incident, row.findings), tuple(map(visible, row.incident.names)), row.incident.course
        )

    async def close(self, incident_id: str, by: str) -> IncidentLine:
        """End an incident whose endpoints will not come back; their silence opens no other.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has ended.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            row = await self._row(conn, incident_id)
            if row.incident.state in ENDED:
                raise ConflictError(f"the incident {incident_id} has ended already", repair="keyfast incident list")
            ended = happened(row.incident, IncidentEvent.GIVEN_UP, now)
            await incidents.put(conn, IncidentRow(ended, row.findings))
            detail = {"incident": incident_id, "state": ended.state.value, "silent": ended.silent, "by": by}
            await events.add(conn, at=now, kind="incident_closed", endpoint_id=None, detail=detail)
        return _line(ended, row.findings)

    async def roll_call(self, minutes: int, most: int) -> RollCallView:
        """What the last roll call counted, at most so many groups of a kind, and the traffic of the last minutes."""
        now = int(self._clock())
        async with self._database.read() as conn:
            every = await roll_calls.group(conn, EVERYBODY) or Counted(Group(), (), 0)
            groups = [line for kind in Kind for line in (await roll_calls.worst(conn, kind, most)).items()]
            told_minutes = await _minutes(conn, minutes, now)
            disks = await roll_calls.disks(conn)
        return RollCallView(
            every.counted_at,
            every.group.endpoints,
            every.group.silent,
            every.group.never,
            tuple(_group_line(key, counted, usual.hour_of_week(now)) for key, counted in groups),
            told_minutes,
            disks,
        )

    async def traffic(self, minutes: int) -> tuple[MinuteLine, ...]:
        """Check-ins and refusals of the last minutes, oldest first; minutes in which nobody came are left out."""
        async with self._database.read() as conn:
            return await _minutes(conn, minutes, int(self._clock()))

    async def _row(self, conn: AsyncConnection, incident_id: str) -> IncidentRow:
        row = await incidents.get(conn, incident_id)
        if row is None:
            raise NotFoundError(f"there is no incident {incident_id}", repair="keyfast incident list")
        return row

    async def _held(self, conn: AsyncConnection, key: Key) -> tuple[str, list[Holding]]:
        """The account behind a group, empty for none, and what the group holds."""
        (kind, name), live = key, self._live.current
        now, standings = int(self._clock()), self._evidence.standings()
        if kind is Kind.CREDENTIAL:
            account, _ = credential_of(name)
            return account, [holding.credential(name, standings.get(account, ()), now)]
        if kind is Kind.PROFILE:
            return "", [holding.profile(name, {mode: row.seq for mode, row in live.profiles.items()})]
        if kind is Kind.MODE:
            return "", [holding.mode(name, live.modes)]
        if kind is Kind.RING:
            return "", [holding.ring(name, live.modes)]
        package = await packages.get(conn, name) if kind is Kind.PACKAGE else None
        if package is None:
            return "", []
        held = [holding.mode(package.mode, live.modes)]
        if package.account_key:
            credential = credential_name(package.account_key, package.generation)
            held.append(holding.credential(credential, standings.get(package.account_key, ()), now))
        return package.account_key, held

    async def _ways(self, account: str) -> tuple[OptionLine, ...]:
        found = await self._options.situation(account)
        return tuple(_option(account, way) for way in found.ways) if found else ()


async def _minutes(conn: AsyncConnection, minutes: int, now: int) -> tuple[MinuteLine, ...]:
    counted = await traffic.counted(conn, now - minutes * traffic.MINUTE, now + traffic.MINUTE)
    return tuple(MinuteLine(minute.at, minute.check_ins, dict(minute.refusals)) for minute in counted)


def _group_line(key: Key, counted: Counted, hour: int) -> GroupLine:
    return GroupLine(
        key[0].value,
        visible(key[1]),
        counted.group.endpoints,
        counted.group.silent,
        counted.group.never,
        usual.expected(counted.usual, hour),
        tuple(map(visible, counted.group.names)),
    )


def _option(account: str, way: WayLine) -> OptionLine:
    needs = " ".join(_NEEDS[need] for need in way.needs)
    command = f"keyfast recover --account {quoted(account)} --way {way.way} {needs}".rstrip()
    if way.way == Way.PACKAGE.value:
        command = f"keyfast package create --mode windows --account {quoted(account)}"
    return OptionLine(way.way, way.endpoints, way.available, way.sentence, command if way.available else "")


def _line(found: Incident, findings: Sequence[Finding]) -> IncidentLine:
    first = findings[0] if findings else None
    return IncidentLine(
        found.id,
        found.state.value,
        found.kind.value,
        visible(found.name),
        told(found.key),
        found.began_at,
        found.width_s,
        found.opened_at,
        found.changed_at if found.ended else 0,
        found.endpoints,
        found.silent,
        found.most,
        first.code if first else "",
        first.cause if first else "",
    )


_TOLD = {
    Kind.CREDENTIAL: "they hold the password {}",
    Kind.PROFILE: "they hold access profile {}",
    Kind.PACKAGE: "they came from package {}",
    Kind.MODE: "they authenticate by {}",
    Kind.SITE: "they are in {}",
    Kind.RING: "they are in ring {}",
    Kind.VERSION: "they run version {}",
    Kind.REFUSAL: "they were last refused as {}",
    Kind.EVERYBODY: "nothing but this server",
}


def told(key: Key) -> str:
    """What the endpoints of a group have in common, in words."""
    return _TOLD[key[0]].format(visible(key[1]))
