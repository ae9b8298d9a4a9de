"""Refused logons, counted and told: an event at once, then at most one a minute for the same thing.

A refusal of a client authentication account also asks the watch to read the account now, so that the
next endpoints hear what is wrong before anybody tries another password.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from keyfast.core.directory import Logon
from keyfast.core.mode import Mechanism
from keyfast.store import accounts, events
from keyfast.store.database import Database

FLUSH_SECONDS = 0.5
AGAIN_SECONDS = 60
CAPACITY = 512


@dataclass(frozen=True, slots=True)
class _What:
    kind: str
    account: str
    mechanism: str
    reason: str


class LogonTally:
    """Counts in memory and writes now and then; see the module. Implements ``windows_logon.Observer``."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._counts: dict[_What, tuple[int, str]] = {}
        self._told_at: dict[_What, float] = {}
        self._ask: set[str] = set()

    def logon_refused(self, account: str, mechanism: Mechanism, why: Logon, address: str) -> None:
        """See ``windows_logon.Observer``."""
        self._ask.add(account)
        self._count(_What("logon_refused", account, mechanism.value, why.value), address)

    def account_not_allowed(self, account: str, mechanism: Mechanism, address: str) -> None:
        """See ``windows_logon.Observer``."""
        self._count(_What("account_not_allowed", account[:128], mechanism.value, ""), address)

    def _count(self, what: _What, address: str) -> None:
        if what in self._counts or len(self._counts) < CAPACITY:
            self._counts[what] = (self._counts.get(what, (0, ""))[0] + 1, address)

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Write for ever; what cannot be written now is written later."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception as cause:  # noqa: BLE001 - whatever it is, the next refusal must be heard of
                failed(cause)

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

    async def _write(self, asked: set[str], due: dict[_What, tuple[int, str]], now: int) -> None:
        async with self._database.write() as conn:
            for key in asked:
                await accounts.ask(conn, key, now=now)
            for what, (count, address) in due.items():
                detail = {
                    "account": what.account,
                    "mechanism": what.mechanism,
                    "reason": what.reason,
                    "count": count,
                    "address": address,
                }
                await events.add(conn, at=now, kind=what.kind, endpoint_id=None, detail=detail)

    def _take_back(self, asked: set[str], due: dict[_What, tuple[int, str]]) -> None:
        self._ask |= asked
        for what, (count, address) in due.items():
            since, newest = self._counts.get(what, (0, address))
            self._counts[what] = (count + since, newest)
