"""Signing in: implements ``core.person.SignIn`` over the store.

A try is counted before it is looked at, so that many at once are no way around the throttle; unknown names, people
who are switched off and people without a password take as long as wrong passwords. Every sign-in makes a new token:
one that somebody planted before is worth nothing after.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids, person_life, throttle
from keyfast.core.person import Session, SignedIn, SignInRefusal
from keyfast.core.person_life import PersonEvent, PersonState
from keyfast.core.secret import Secret
from keyfast.core.session import ABSOLUTE, Standing, Times, is_noted, standing
from keyfast.core.throttle import Counted, Failures
from keyfast.errors import NotReadyError
from keyfast.services.second_factor import SecondFactors
from keyfast.store import events, people, sessions, sign_in_failures
from keyfast.store.database import Database
from keyfast.store.people import PersonRow
from keyfast.store.sessions import SessionRow
from keyfast.trust.sign_in import SESSION_PREFIX, Passwords, digest, new_token

AT_ONCE = 2
"""Passwords that are tried at one time: each takes 64 MiB and a core."""
MOST_WAITING = 30
"""Sign-ins that wait for that; who comes then comes again, and has not failed."""
MAX_NAME = 64
MAX_TOKEN_CHARS = 200


class SignInService:
    """Begins, judges and ends sessions.

    Args:
        database: the store.
        codes: judges codes of second factors.
        passwords: judges passwords.
        clock: unix seconds.
        entropy: random bytes.
    """

    def __init__(
        self,
        database: Database,
        codes: SecondFactors,
        passwords: Passwords,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._codes = codes
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def begin(self, name: str, password: Secret, code: str, address: str) -> Session | SignInRefusal:
        """See ``SignIn``."""
        now, name = int(self._clock()), name.strip().lower()[: MAX_NAME + 1]
        pause = await self._count(name, address, now)
        if pause:
            return SignInRefusal(pause)
        async with self._database.read() as conn:
            row = await people.by_name(conn, name)
        proved = await self._proved(row, password, code)
        session = await self._opened(row, password, address) if row is not None and proved else None
        if session is None:
            await self._failed("" if row is None else row.name, address)
        return session or SignInRefusal()

    async def person_of(self, token: str, *, watching: bool = False) -> SignedIn | None:
        """See ``SignIn``."""
        found = await self._session(token)
        if found is None:
            return None
        row, owner, now = *found, int(self._clock())
        if not watching and not is_noted(Times(row.begun_at, row.seen_at), now):
            async with self._database.write() as conn:
                await sessions.note(conn, row.hash, seen_at=now)
        return SignedIn(owner.person, row.id, row.begun_at, row.proved_at)

    async def prove_again(self, token: str, password: Secret, code: str) -> bool:
        """See ``SignIn``; wrong ones count as failed sign-ins from where the session is."""
        found = await self._session(token)
        if found is None:
            return False
        row, owner = found
        now = int(self._clock())
        if await self._count(owner.name, row.address, now):
            return False
        if not await self._proved(owner, password, code):
            await self._failed(owner.name, row.address)
            return False
        async with self._database.write() as conn:
            await self._take_back(conn, owner.name, row.address)
            await sessions.note(conn, row.hash, seen_at=now, proved_at=now)
        return True

    async def end(self, token: str) -> None:
        """See ``SignIn``."""
        async with self._database.write() as conn:
            person_id = await sessions.end(conn, digest(Secret(token.encode("utf-8", "replace"))))
            owner = None if person_id is None else await people.get(conn, person_id)
            if owner is not None:
                await events.add(
                    conn, at=int(self._clock()), kind="signed_out", endpoint_id=None, detail={"person": owner.name}
                )

    async def _session(self, token: str) -> tuple[SessionRow, PersonRow] | None:
        """Return a session that lives, and whose it is; end one that has been idle or is too old."""
        if not token.startswith(SESSION_PREFIX) or len(token) > MAX_TOKEN_CHARS:
            return None
        key, now = digest(Secret(token.encode("utf-8", "replace"))), int(self._clock())
        async with self._database.read() as conn:
            found = await sessions.get(conn, key)
        if found is None:
            return None
        row, owner = found
        if standing(Times(row.begun_at, row.seen_at), now) is Standing.LIVE and owner.state is PersonState.ACTIVE:
            return row, owner
        async with self._database.write() as conn:
            await sessions.end(conn, key)
        return None

    async def _proved(self, row: PersonRow | None, password: Secret, code: str) -> bool:
        """Tell whether password and code are right; the same work whoever it is."""
        hashed = row.password_hash if row is not None and row.state is PersonState.ACTIVE else ""
        self._waiting += 1
        try:
            async with self._slots:
                right = await asyncio.to_thread(self._passwords.holds, password, hashed)
        finally:
            self._waiting -= 1
        if row is None or not row.has_code:
            return right
        # Looked at whether or not the password was right: how long it takes tells neither.
        step = self._codes.step_of(row, code)
        return right and step is not None and await self._codes.use(row, step)

    async def admit(self, name: str, subject: str, proved_at: int, address: str) -> Session | None:
        """Begin a session of somebody whom an identity provider knows; None if they are not to come in.

        Args:
            name: who it is here.
            subject: who it is there; who came once comes under the same subject ever after.
            proved_at: when they last proved there who they are, 0 if that is not known.
            address: where the request comes from.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            row = await people.by_name(conn, name, lock=True)
            if row is None or row.state is PersonState.DISABLED or row.subject not in ("", subject):
                return None
            if row.state is PersonState.INVITED:
                state = person_life.step(row.state, PersonEvent.JOINED)
                row = replace(row, state=state, invitation=None, invited_until=0)
            row = replace(row, subject=subject, signed_in_at=now)
            await people.put(conn, row)
            return await self._session_of(conn, row, address, min(proved_at, now), "provider")

    async def admit_by_passkey(self, person_id: str, address: str) -> Session | None:
        """Begin a session of somebody who has just proved who they are by a passkey; None if they are not active."""
        now = int(self._clock())
        async with self._database.write() as conn:
            row = await people.get(conn, person_id, lock=True)
            if row is None or row.state is not PersonState.ACTIVE:
                return None
            await people.put(conn, replace(row, signed_in_at=now))
            return await self._session_of(conn, row, address, now, "passkey")

    async def _opened(self, row: PersonRow, password: Secret, address: str) -> Session | None:
        """Begin a session; None if the person was changed while the password was looked at."""
        now, hashed = int(self._clock()), row.password_hash
        if not self._passwords.is_current(hashed):
            hashed = await asyncio.to_thread(self._passwords.hash, password)
        async with self._database.write() as conn:
            on_record = await people.by_name(conn, row.name, lock=True)
            if on_record is None or (on_record.password_hash, on_record.state) != (row.password_hash, row.state):
                return None
            await self._take_back(conn, row.name, address)
            await people.signed_in(conn, row.id, now, hashed)
            return await self._session_of(conn, on_record, address, now, "password")

    async def _session_of(
        self, conn: AsyncConnection, row: PersonRow, address: str, proved_at: int, way: str
    ) -> Session:
        """Put a new session on record, under a token that nobody has seen."""
        now, token = int(self._clock()), new_token(SESSION_PREFIX)
        session = SessionRow(digest(token), ids.endpoint_id(self._entropy(16)), row.id, now, now, proved_at, address)
        await sessions.forget(conn, begun_before=now - ABSOLUTE)
        await sessions.add(conn, session)
        detail = {"person": row.name, "address": address, "session": session.id, "way": way}
        await events.add(conn, at=now, kind="signed_in", endpoint_id=None, detail=detail)
        return Session(session.id, token, row.person, now + ABSOLUTE)

    async def _count(self, name: str, address: str, now: int) -> int:
        """Count a try as failed, or return for how many seconds it is not looked at.

        Raises:
            NotReadyError: too many are being looked at; nothing was counted.
        """
        if self._waiting >= MOST_WAITING:
            raise NotReadyError("too many people sign in at once", retry_after=5)
        keys = _keys(name, address)
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

    async def _take_back(self, conn: AsyncConnection, name: str, address: str) -> None:
        """The try that was counted was right: forget the name's failures from there, and one of each other count."""
        keys = _keys(name, address)
        await sign_in_failures.alone(conn)
        loaded = await sign_in_failures.load(conn, list(keys.values()))
        left = {
            key: Failures(0 if what is Counted.PAIR else max(0, loaded[key].count - 1), loaded[key].last_at)
            for what, key in keys.items()
        }
        await sign_in_failures.save(conn, left)

    async def _failed(self, name: str, address: str) -> None:
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


def _keys(name: str, address: str) -> dict[Counted, bytes]:
    """What failures are counted by; hashed, as people type passwords where their names belong."""
    found = throttle.subjects(name, address)
    return {what: hashlib.sha256(f"{what} {subject}".encode()).digest() for what, subject in found.items()}
