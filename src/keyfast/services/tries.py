"""Tries to sign in, counted before they are looked at (``core.throttle``): many at once are no way around it."""

import hashlib
from collections.abc import Callable

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import throttle
from keyfast.core.throttle import Counted, Failures
from keyfast.store import events, sign_in_failures
from keyfast.store.database import Database
from keyfast.store.tables import directory_try, sign_in_failure


class Tries:
    """Counts tries in the store.

    Args:
        database: the store.
        clock: unix seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def count(self, name: str, address: str) -> int:
        """Count a try as failed, or return for how many seconds it is not looked at."""
        keys, now = _keys(name, address), int(self._clock())
        async with self._database.write() as conn:
            await sign_in_failures.alone(conn)
            loaded = await sign_in_failures.load(conn, list(keys.values()))
            found = {counted: loaded[key] for counted, key in keys.items()}
            pause = throttle.wait(found, now)
            if pause:
                return pause
            counted = {keys[what]: failures.and_one(now) for what, failures in found.items()}
            await sign_in_failures.save(conn, counted)
            await sign_in_failures.forget(conn, last_before=now - throttle.FORGET, most=throttle.MOST)
        return 0

    async def take_back(self, conn: AsyncConnection, name: str, address: str, *, right: bool = True) -> None:
        """Take back a try that was counted.

        Args:
            conn: a transaction; nobody else counts until it ends.
            name: what it was counted for, and
            address: where from.
            right: it was right: the name's failures from there are forgotten. Else it was not looked at.
        """
        keys = _keys(name, address)
        await sign_in_failures.alone(conn)
        loaded = await sign_in_failures.load(conn, list(keys.values()))
        left = {
            key: Failures(0 if right and what is Counted.PAIR else max(0, loaded[key].count - 1), loaded[key].last_at)
            for what, key in keys.items()
        }
        await sign_in_failures.save(conn, left)

    async def forgive(self, name: str, address: str) -> None:
        """Take back a try that could not be looked at."""
        async with self._database.write() as conn:
            await self.take_back(conn, name, address, right=False)

    async def failed(self, name: str, address: str) -> None:
        """Tell of a failed sign-in, more seldom the more there are: at the first, second, fourth ... of an address.

        A name that is nobody's is left out: it may be a password in the wrong place.
        """
        key = _keys(name, address)[Counted.ADDRESS]
        async with self._database.write() as conn:
            count = (await sign_in_failures.load(conn, [key]))[key].count
            if count & (count - 1):
                return
            detail = {"person": name, "address": address, "failures": count}
            await events.add(conn, at=int(self._clock()), kind="sign_in_failed", endpoint_id=None, detail=detail)


class ShownTries:
    """Counts passwords that the directory is shown, so that it locks nobody out.

    An account that does not exist is counted as well, though nothing can lock it: a stranger is not to tell it from
    one that does. Those counts are bounded, and the oldest are forgotten.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def count(self, sid: str, name: str) -> int:
        """Count a password as wrong, or return for how many seconds the directory is shown none.

        Args:
            sid: of the account, empty if there is none.
            name: as typed, where there is none.
        """
        (table, key), now = _shown(sid, name), int(self._clock())
        async with self._database.write() as conn:
            await sign_in_failures.alone(conn)
            found = (await sign_in_failures.load(conn, [key], table))[key]
            pause = throttle.rest(found, now)
            if pause:
                return pause
            await sign_in_failures.save(conn, {key: throttle.shown_again(found, now)}, table)
            await sign_in_failures.forget_shown(conn, last_before=now - throttle.DIRECTORY_REST)
        return 0

    async def take_back(self, sid: str, *, right: bool) -> None:
        """The directory did not count the password as wrong; if it was ``right``, it has forgotten all others."""
        table, key = _shown(sid, "")
        async with self._database.write() as conn:
            await sign_in_failures.alone(conn)
            found = (await sign_in_failures.load(conn, [key], table))[key]
            left = Failures(0 if right else max(0, found.count - 1), found.last_at)
            await sign_in_failures.save(conn, {key: left}, table)


def _shown(sid: str, name: str) -> tuple[Table, bytes]:
    subject = f"account {sid or name.lower()}"
    return (directory_try if sid else sign_in_failure), hashlib.sha256(subject.encode()).digest()


def _keys(name: str, address: str) -> dict[Counted, bytes]:
    """What failures are counted by; hashed, as people type passwords where their names belong."""
    found = throttle.subjects(name, address)
    return {what: hashlib.sha256(f"{what} {subject}".encode()).digest() for what, subject in found.items()}
