"""The account watch: reads each client authentication account, and tells before and when it breaks.

It reads attributes and tries no password, with one exception: when the password was set anew, the newest
generations on record are tried once each, to tell a restored password from a changed one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import generation
from keyfast.core.account import Built, unusable
from keyfast.core.account_events import events as account_events
from keyfast.core.account_events import remembered
from keyfast.core.directory import AccountReading, Directory, Logon, Unreachable
from keyfast.core.generation import GenerationEvent, GenerationState
from keyfast.core.logon import SPARE_TRIES
from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError
from keyfast.services.follow import follow
from keyfast.services.known_account import Outcome, bound_to, by_account, outcomes, reading_rows
from keyfast.store import accounts, events
from keyfast.store.accounts import AccountRow, BuiltRow, GenerationRow
from keyfast.store.database import Database
from keyfast.trust.kek import Kek

TICK_SECONDS = 1.0
INTERVAL_SECONDS = 60
MAX_TRIES = 2
"""Passwords tried at one reading: fewer than any sensible lockout threshold."""
ASSUMED_THRESHOLD = 5
"""Lockout threshold where it cannot be read: as low as the usual baselines ask for."""
BY_COMMAND = "(by command)"
"""Stands where others have their package, for endpoints that came to a credential by a command."""


def built_with(rows: Iterable[BuiltRow], generations: Sequence[GenerationRow]) -> tuple[Built, ...]:
    """What packages were built with, as the verdict wants it."""
    stamps = {(row.account_key, row.generation): row.password_stamp for row in generations}
    return tuple(
        Built(
            row.package or BY_COMMAND,
            row.generation,
            stamps.get((row.account_key, row.generation), 0),
            row.endpoints,
            row.created_at,
        )
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Held:
    """What is on record of one account."""

    account: AccountRow
    generations: tuple[GenerationRow, ...]
    before: tuple[Outcome, ...]
    built: tuple[Built, ...]


class AccountWatch:
    """Reads every account each ``interval`` seconds, and at once when somebody asks. One per admin process.

    Args:
        database: the store.
        directory: where the accounts are.
        kek: returns the KEK in force.
        clock: unix seconds.
        interval: seconds between two readings of an account.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        kek: Callable[[], Kek],
        clock: Callable[[], float],
        interval: int = INTERVAL_SECONDS,
    ) -> None:
        self._database = database
        self._directory = directory
        self._kek = kek
        self._clock = clock
        self._interval = interval

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Watch for ever."""
        await follow(self.tick, TICK_SECONDS, failed)

    async def tick(self) -> None:
        """Read every account that is due.

        Raises:
            NotReadyError: the store is down.
        """
        async with self._database.read() as conn:
            rows = await accounts.load(conn)
        for row in rows:
            now = int(self._clock())
            if row.read_at > now - self._interval and row.asked_at <= row.read_at:
                continue
            async with self._database.write() as conn:
                won = await accounts.claim(conn, row.key, now=now, interval=self._interval)
            if won:
                await self.read(row)

    async def read(self, row: AccountRow) -> tuple[Outcome, ...]:
        """Read one account now, record what changed and judge what is in question; return the outcomes."""
        (after,) = await self.read_all([row])
        return after

    async def read_all(self, rows: Sequence[AccountRow]) -> list[tuple[Outcome, ...]]:
        """The same for some accounts; what is read of all of them is put on record together."""
        found = [await self._directory.read(row.name) for row in rows]
        now = int(self._clock())
        async with self._database.write() as conn:
            known = await self._held(conn, rows)
            for held, after in zip(known, found, strict=True):
                await self._record(conn, held, after, now)
        for held, after in zip(known, found, strict=True):
            if _is_in_doubt(held, after):
                await self._judge(held, after, now)
        return found

    async def _held(self, conn: AsyncConnection, rows: Sequence[AccountRow]) -> list[Held]:
        """Read what is on record: of one account, or each table once for all of them."""
        key = rows[0].key if len(rows) == 1 else None
        generations = by_account(await accounts.generations(conn, key))
        readings = by_account(await accounts.readings(conn, key))
        built = by_account(await accounts.built(conn, key))
        return [
            Held(
                row,
                tuple(generations[row.key]),
                outcomes(readings[row.key]),
                built_with(built[row.key], generations[row.key]),
            )
            for row in rows
        ]

    async def _record(self, conn: AsyncConnection, held: Held, after: Sequence[Outcome], now: int) -> None:
        key = held.account.key
        kept = remembered(held.before, after)
        changed = {found.server: _is_news(held.before, found) for found in after}
        await accounts.save_readings(conn, reading_rows(key, kept, now), changed)
        grace = self._directory.grace_s
        for told in account_events(key, held.before, after, now, built=held.built, grace_s=grace):
            await events.add(
                conn, at=now, kind=told.kind.value, endpoint_id=None, detail={"account": key, **told.detail}
            )
        newest = _newest(after)
        for row in held.generations if newest is not None else ():
            if newest is not None and row.seen_stamp != newest.password_stamp:
                await accounts.set_generation(conn, row, _questioned(row, newest, now, grace))

    async def _judge(self, held: Held, after: Sequence[Outcome], now: int) -> None:
        """Try the passwords in question, newest first, where a wrong one can do no harm."""
        newest = _newest(after)
        if newest is None or not all(_safe_to_try(found, newest, now) for found in after):
            return
        async with self._database.read() as conn:
            rows = await accounts.generations(conn, held.account.key)
        doubtful = [row for row in reversed(rows) if row.state is GenerationState.IN_QUESTION]
        for row in doubtful[:MAX_TRIES]:
            await self._try(held.account, row, now)

    async def _try(self, account: AccountRow, row: GenerationRow, now: int) -> None:
        password = self._kek().open(row.password_sealed, bound_to=bound_to(row.account_key, row.generation))
        said = await self._said(account.name, password)
        if said is Logon.GRANTED:
            await self._settle(row, GenerationEvent.PROVED, now)
        elif said is Logon.WRONG_PASSWORD:
            await self._settle(row, GenerationEvent.DENIED, now)

    async def _said(self, name: str, password: Secret) -> Logon | None:
        """What the directory says to a password; None while it cannot tell the current one from the one before."""
        try:
            return await self._directory.prove(name, password)
        except NotReadyError:
            return None

    async def _settle(self, row: GenerationRow, what: GenerationEvent, now: int) -> None:
        state = generation.step(row.state, what)
        stamp = row.seen_stamp if what is GenerationEvent.PROVED else row.password_stamp
        async with self._database.write() as conn:
            if await accounts.set_generation(conn, row, replace(row, state=state, password_stamp=stamp, judged_at=now)):
                detail = {"account": row.account_key, "generation": row.generation}
                await events.add(conn, at=now, kind=f"generation_{state.value}", endpoint_id=None, detail=detail)


def _is_in_doubt(held: Held, after: Sequence[Outcome]) -> bool:
    """Whether some generation may have to be judged: it was in question, or the password was set since it was."""
    newest = _newest(after)
    return newest is not None and any(
        row.state is GenerationState.IN_QUESTION or row.seen_stamp != newest.password_stamp for row in held.generations
    )


def _newest(after: Iterable[Outcome]) -> AccountReading | None:
    read = [found for found in after if isinstance(found, AccountReading) and found.exists and found.password_stamp]
    return max(read, key=lambda reading: reading.password_stamp, default=None)


def _questioned(row: GenerationRow, newest: AccountReading, now: int, grace: int) -> GenerationRow:
    """The password was set anew; only the one in force until then may be granted a while longer."""
    was_in_force = row.state is GenerationState.PROVEN
    return replace(
        row,
        state=generation.step(row.state, GenerationEvent.PASSWORD_SET),
        seen_stamp=newest.password_stamp,
        grace_ends_at=newest.password_set_at + grace if was_in_force else 0,
        judged_at=now,
    )


def _safe_to_try(found: Outcome, newest: AccountReading, now: int) -> bool:
    """Whether one wrong password more does no harm at this domain controller, and a right one says something."""
    if isinstance(found, Unreachable):
        return True
    if not found.exists or found.password_stamp != newest.password_stamp or unusable(found, now) is not None:
        return False
    threshold = ASSUMED_THRESHOLD if found.lockout_threshold is None else found.lockout_threshold
    return threshold == 0 or found.bad_passwords <= threshold - SPARE_TRIES


def _is_news(before: Sequence[Outcome], found: Outcome) -> bool:
    """Whether a reading differs in more than its time from the one on record."""
    if isinstance(found, Unreachable):
        return not any(isinstance(old, Unreachable) and old.server == found.server for old in before)
    old = next((old for old in before if isinstance(old, AccountReading) and old.server == found.server), None)
    return old is None or _timeless(old) != _timeless(found)


def _timeless(reading: AccountReading) -> AccountReading:
    return msgspec.structs.replace(reading, read_at=0, last_logon_at=0)
