"""Refusals, counted and told: an event at once, then at most one a minute for the same thing.

A flood of refusals so never fills the table of events. A refusal of a client authentication account also asks
the watch to read the account now, so that the next endpoints hear what is wrong before anybody tries another
password.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keyfast.core.directory import Logon
from keyfast.core.mode import Mechanism
from keyfast.core.refusal import RefusalClass
from keyfast.services.enrolment_refusals import RefusedEnrolment
from keyfast.services.follow import follow
from keyfast.store import accounts, events
from keyfast.store.database import Database

FLUSH_SECONDS = 0.5
AGAIN_SECONDS = 60
CAPACITY = 512

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _What:
    """What is counted as one thing: the event's kind, whose it is, and what of its detail tells it apart."""

    kind: str
    endpoint_id: str | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Seen:
    """How often, and what the latest brought."""

    count: int
    latest: Facts


class RefusalTally:
    """Counts in memory and writes now and then; see the module.

    Implements ``Observer`` of ``windows_logon``, ``recover``, ``check_in`` and ``enrolment_refusals``.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[_What, _Seen] = {}
        self._told_at: dict[_What, float] = {}
        self._ask: set[str] = set()

    def logon_refused(self, account: str, mechanism: Mechanism, why: Logon, address: str) -> None:
        """See ``windows_logon.Observer``."""
        self._ask.add(account)
        facts = (("account", account), ("mechanism", mechanism.value), ("reason", why.value))
        self._count(_What("logon_refused", None, facts), (("address", address),))

    def account_not_allowed(self, account: str, mechanism: Mechanism, address: str) -> None:
        """See ``windows_logon.Observer``."""
        facts = (("account", account[:128]), ("mechanism", mechanism.value), ("reason", ""))
        self._count(_What("account_not_allowed", None, facts), (("address", address),))

    def recovery_refused(self, kind: RefusalClass, way: str, named: str, address: str) -> None:
        """See ``recover.Observer``."""
        facts = (("class", kind.value), ("way", way))
        self._count(_What("recovery_refused", None, facts), (("named", named), ("address", address)))

    def command_refused(self, endpoint_id: str, command: str, detail: str) -> None:
        """See ``check_in.Observer``."""
        self._count(_What("command_refused", endpoint_id, ()), (("command", command), ("reason", detail[:300])))

    def package_refused(self, endpoint_id: str, kind: str, package: str) -> None:
        """See ``check_in.Observer``."""
        # The id is what the endpoint says it is, so it tells nothing apart.
        self._count(_What("package_refused", endpoint_id, (("class", kind),)), (("package", package),))

    def enrolment_refused(self, told: RefusedEnrolment) -> None:
        """See ``enrolment_refusals.Observer``; what nobody has signed tells no two refusals apart."""
        facts = (("class", told.kind.value), ("reason", told.reason.value), ("package", told.package))
        latest = (("why", told.why), ("claimed", told.claimed), ("name", told.name), ("address", told.address))
        self._count(_What("enrolment_refused", None, facts), latest)

    def _count(self, what: _What, latest: Facts) -> None:
        before = self._counts.get(what)
        if before is not None or len(self._counts) < CAPACITY:
            self._counts[what] = _Seen(before.count + 1 if before else 1, latest)

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Write for ever; what cannot be written now is written later."""
        await follow(self.flush, FLUSH_SECONDS, failed)

    async def flush(self) -> None:
        """Write what is due.

        Raises:
            NotReadyError: the store is down; everything is kept for the next time.
        """
        now = int(self._clock())
        due = {what: seen for what, seen in self._counts.items() if self._told_at.get(what, 0) <= now - AGAIN_SECONDS}
        asked, self._ask = self._ask, set()  # logons go on being refused while this is written
        for what in due:
            del self._counts[what]
        if not due and not asked:
            return
        try:
            await self._write(asked, due, now)
        except BaseException:
            self._take_back(asked, due)
            raise
        for what in due:
            self._told_at.pop(what, None)
            self._told_at[what] = now
        while len(self._told_at) > CAPACITY:
            self._told_at.pop(next(iter(self._told_at)))

    async def _write(self, asked: set[str], due: dict[_What, _Seen], now: int) -> None:
        async with self._database.write() as conn:
            for key in asked:
                await accounts.ask(conn, key, now=now)
            for what, seen in due.items():
                detail = {**dict(what.facts), **dict(seen.latest), "count": seen.count}
                await events.add(conn, at=now, kind=what.kind, endpoint_id=what.endpoint_id, detail=detail)

    def _take_back(self, asked: set[str], due: dict[_What, _Seen]) -> None:
        self._ask |= asked
        for what, seen in due.items():
            since = self._counts.get(what)
            self._counts[what] = _Seen(seen.count + since.count, since.latest) if since else seen
