"""Evidence of a silence, as far as the server has it: accounts, certificates, windows, refusals, and who checks in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import newest
from keyfast.core.account_verdict import judge
from keyfast.core.diagnosis.evidence import Account, Evidence, Policy, Product, Reach, Record, Tls, TlsFault, Token
from keyfast.core.diagnosis.finding import Affected, Scope
from keyfast.core.incident import Incident
from keyfast.core.logon import GenerationStanding
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.core.roll_call import EVERYBODY, Group, Key, Kind, credential_of, everybody
from keyfast.core.visible import visible
from keyfast.core.window import WindowState
from keyfast.errors import TrustError
from keyfast.services.known_account import outcomes
from keyfast.services.live import Live, LiveState
from keyfast.services.watch import built_with
from keyfast.services.window_counts import KeptCounts
from keyfast.store import accounts, packages, traffic, windows
from keyfast.trust import tls

LOOK_BACK = 3600
"""Seconds of traffic that count as the present."""
_JUST_BEFORE = 86_400
"""A certificate that is not older than this when a silence begins was changed shortly before it."""
_ALL = 0.9
"""Share of a site that is as good as all of it."""
_SCOPES = {
    Kind.CREDENTIAL: Scope.ACCOUNT,
    Kind.PACKAGE: Scope.PACKAGE,
    Kind.SITE: Scope.SITE,
    Kind.EVERYBODY: Scope.EVERYBODY,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A silence to collect evidence about.

    Attributes:
        key: the group.
        count: how many are silent.
        names: of some of them, safe to show.
        since: when it began (unix seconds), 0 if nothing is silent; ``width_s`` how exactly that is known.
    """

    key: Key
    count: int
    names: tuple[str, ...] = ()
    since: int = 0
    width_s: int = 0


def shape_of(incident: Incident) -> Shape:
    """The silence of an incident."""
    names = tuple(map(visible, incident.names))
    return Shape(incident.key, incident.silent, names, incident.began_at, incident.width_s)


class ServerEvidence:
    """Collects evidence. It reads what is on record and tries nothing.

    Args:
        live: what this server accepts.
        folder: of the server's certificates.
        grace_s: seconds for which the directory still takes a previous password.
        clock: unix seconds.
        counts: how far the endpoints of recovery windows are.
    """

    def __init__(
        self,
        live: LiveState,
        folder: Path,
        grace_s: int,
        clock: Callable[[], float],
        counts: KeptCounts | None = None,
    ) -> None:
        self._counts = counts or KeptCounts(clock)
        self._live = live
        self._folder = folder
        self._grace_s = grace_s
        self._clock = clock

    def standings(self) -> dict[str, tuple[GenerationStanding, ...]]:
        """How the credential generations of each account stand."""
        now = int(self._clock())
        return {
            account.key: tuple(account.standing(number, now) for number in account.generations)
            for account in self._live.current.accounts.values()
        }

    async def collect(self, conn: AsyncConnection, shape: Shape, groups: Mapping[Key, Group]) -> Evidence:
        """Collect what speaks for and against any cause of a silence.

        Args:
            conn: reads.
            shape: the silence.
            groups: what the last roll call counted.
        """
        now, live = int(self._clock()), self._live.current
        refusals = await self._refusals(conn, shape, now)
        told = Affected(_SCOPES.get(shape.key[0], Scope.GROUP), _shown(shape.key), shape.count, shape.names)
        return Evidence(
            product=Product.KEYFAST,
            now=now,
            affected=told,
            since=shape.since or None,
            since_width_s=shape.width_s,
            reach=_reach(shape, groups, refusals),
            tls=self._tls(live, shape, now),
            account=await self._account(conn, shape.key, now),
            token=await self._token(conn, shape.key),
            record=await self._record(conn, live, now),
            policy=Policy(checks_in=shape.count == 0),
            refusals=refusals,
        )

    async def _refusals(self, conn: AsyncConnection, shape: Shape, now: int) -> dict[RefusalClass, int] | None:
        """Which refusals the silent get, as far as the traffic tells; None for a site, of which nothing arrives.

        Traffic counts requests to the whole server: those beyond as many as there were before the silence began.
        The silent are shared out among the classes in that proportion.
        """
        if not shape.since or shape.key[0] is Kind.SITE:
            return None
        length = min(max(now - shape.since, traffic.MINUTE), LOOK_BACK)
        after = await traffic.counted(conn, now - length, now + traffic.MINUTE)
        before = await traffic.counted(conn, shape.since - length, shape.since)
        found: dict[RefusalClass, int] = {}
        for minutes, sign in ((after, 1), (before, -1)):
            for minute in minutes:
                for kind, count in minute.refusals.items():
                    found[RefusalClass(kind)] = found.get(RefusalClass(kind), 0) + sign * count
        beyond = {kind: count for kind, count in found.items() if count > 0}
        total = sum(beyond.values())
        return {kind: max(1, min(count, round(shape.count * count / total))) for kind, count in beyond.items()}

    def _tls(self, live: Live, shape: Shape, now: int) -> Tls:
        try:
            pem = (self._folder / "server.pem").read_bytes()
            found = tls.facts(pem)
        except (OSError, TrustError):
            return Tls()
        hosts = {urlsplit(origin).hostname for origin in live.origins}
        if found.ends_at <= now:
            fault = TlsFault.EXPIRED
        elif not hosts <= {name.lower() for name in found.names} and not any("*" in name for name in found.names):
            fault = TlsFault.WRONG_NAME
        else:
            fault = TlsFault.NONE
        changed = shape.since - _JUST_BEFORE <= found.begins_at <= shape.since if shape.since else None
        return Tls(fault, found.ends_at, changed)

    async def _account(self, conn: AsyncConnection, key: Key, now: int) -> Account:
        account, generation = await self._credential(conn, key)
        if not account:
            return Account()
        generations = await accounts.generations(conn, account)
        readings = outcomes(await accounts.readings(conn, account))
        built = built_with(await accounts.built(conn, account), generations)
        made = next((row.created_at for row in generations if row.generation == generation), None)
        verdict = judge(readings, now, built=built, grace_s=self._grace_s) if readings else None
        known = self._live.current.accounts.get(account)
        reading = newest(known.readings) if known else None
        return Account(account, reading, verdict, made, None, carried=True, grace_s=self._grace_s)

    async def _credential(self, conn: AsyncConnection, key: Key) -> tuple[str, int]:
        if key[0] is Kind.CREDENTIAL:
            return credential_of(key[1])
        row = await packages.get(conn, key[1]) if key[0] is Kind.PACKAGE else None
        if row is not None:
            return row.account_key, row.generation
        known = self._live.current.accounts
        if key in (EVERYBODY, (Kind.MODE, Mode.WINDOWS.value)) and len(known) == 1:
            (only,) = known.values()
            return only.key, only.newest
        return "", 0

    async def _token(self, conn: AsyncConnection, key: Key) -> Token:
        if key[0] is not Kind.PACKAGE:
            return Token()
        found = (await packages.tokens(conn, [key[1]])).get(key[1])
        return Token(enrolment_ends_at=found.expires_at if found else None)

    async def _record(self, conn: AsyncConnection, live: Live, now: int) -> Record:
        row = await windows.not_closed(conn)
        if row is None or row.state is not WindowState.OPEN or live.window is None:
            return Record(window_ends_at=0)
        counts = await self._counts.of(conn, row)
        return Record(
            window_ends_at=row.window.deadline if row.window.deadline > now else 0, window_missing=counts.unproven
        )


def _reach(shape: Shape, groups: Mapping[Key, Group], refusals: Mapping[RefusalClass, int] | None) -> Reach:
    every, mine = everybody(groups), groups.get(shape.key, Group())
    heard = (every.endpoints - every.silent) - (mine.endpoints - mine.silent)
    others = heard > 0 if shape.key != EVERYBODY else every.endpoints > every.silent
    return Reach(
        requests=bool(refusals) if refusals is not None else None,
        others=others if every.endpoints else None,
        site_silent=others and mine.silent >= _ALL * mine.endpoints > 0 if shape.key[0] is Kind.SITE else None,
    )


def _shown(key: Key) -> str:
    kind, name = key
    return "all endpoints" if kind is Kind.EVERYBODY else f"{kind} {visible(name)}"
