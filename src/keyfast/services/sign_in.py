"""Signing in: implements ``core.person.SignIn`` over the store.

A try is counted before it is looked at, so that many at once are no way around the throttle; unknown names, people
who are switched off and people without a password take as long as wrong passwords. Every sign-in makes a new token:
one that somebody planted before is worth nothing after.

The name of somebody who was added here is never asked about in the directory.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids, person_life
from keyfast.core.person import Session, SignedIn, SignInRefusal
from keyfast.core.person_life import PersonEvent, PersonState
from keyfast.core.secret import Secret
from keyfast.core.session import ABSOLUTE, Standing, Times, is_noted, standing
from keyfast.core.visible import visible
from keyfast.errors import ForbiddenError, NotReadyError
from keyfast.services.directory_people import DirectoryPeople, Proof, standing_of
from keyfast.services.second_factor import SecondFactors
from keyfast.services.tries import Tries
from keyfast.store import events, people, sessions
from keyfast.store.database import Database
from keyfast.store.people import PersonRow
from keyfast.store.sessions import SessionRow
from keyfast.trust.sign_in import SESSION_PREFIX, Passwords, digest, new_token

AT_ONCE = 2
"""Passwords that are tried at one time: each takes 64 MiB and a core."""
MOST_WAITING = 30
"""Sign-ins that wait for that; who comes then comes again, and has not failed."""
MAX_NAME = 256
"""Characters that are looked at of a name; none is as long."""
MAX_TOKEN_CHARS = 200


class SignInService:
    """Begins, judges and ends sessions.

    Args:
        database: the store.
        codes: judges codes of second factors.
        passwords: judges passwords.
        clock: unix seconds.
        entropy: random bytes.
        there: knows people by the directory; None where nobody comes by it.
    """

    def __init__(
        self,
        database: Database,
        codes: SecondFactors,
        passwords: Passwords,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        there: DirectoryPeople | None = None,
    ) -> None:
        self._database = database
        self._codes = codes
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy
        self._there = there
        self._tries = Tries(database, clock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def begin(self, name: str, password: Secret, code: str, address: str) -> Session | SignInRefusal:
        """See ``SignIn``."""
        name = name.strip().lower()[: MAX_NAME + 1]
        async with self._database.read() as conn:
            row = await people.by_name(conn, name)
        account = self._account(name, row)
        if account is not None and self._there is not None:
            return await self._begin_there(self._there, account, password, code, address)
        if pause := await self._count(name, address):
            return SignInRefusal(pause)
        proved = await self._proved(row, password, code)
        session = await self._opened(row, password, address) if row is not None and proved else None
        if session is None:
            await self._tries.failed("" if row is None else row.name, address)
        return session or SignInRefusal()

    def _account(self, name: str, row: PersonRow | None) -> str | None:
        """Return the account of the directory that a typed name means; None for a name of this house."""
        added_here = row is not None and row.account is None
        return None if self._there is None or added_here else self._there.names.account_of(name)

    async def _begin_there(
        self, there: DirectoryPeople, account: str, password: Secret, code: str, address: str
    ) -> Session | SignInRefusal:
        """Begin a session of somebody whose password the directory knows."""
        typed = there.names.person_of(account)  # however it was typed, it is one name
        if pause := await self._count(typed, address):
            return SignInRefusal(pause)
        proof = await self._asked(there, typed, address, password, name=account)
        if proof.pause:
            await self._tries.forgive(typed, address)
            return SignInRefusal(proof.pause)
        async with self._database.read() as conn:
            row = await people.by_account(conn, proof.member.sid)
        proved = await self._code_holds(row, code, right=proof.granted)
        session = await self._opened_there(there, proof, typed, address) if proved else None
        if session is None:
            await self._tries.failed("" if row is None else row.name, address)
        return session or SignInRefusal()

    async def _asked(
        self, there: DirectoryPeople, counted: str, address: str, password: Secret, *, name: str = "", sid: str = ""
    ) -> Proof:
        """Show the directory a password; while it cannot be asked, nobody has failed."""
        try:
            return await there.prove(password, name=name, sid=sid)
        except NotReadyError:
            await self._tries.forgive(counted, address)
            raise

    async def _opened_there(self, there: DirectoryPeople, proof: Proof, typed: str, address: str) -> Session | None:
        """Begin a session of somebody who has proved who they are; None if they are switched off here."""
        async with self._database.write() as conn:
            await self._tries.take_back(conn, typed, address)
            row = await there.arrive(conn, proof.member)
            if row is not None:
                return await self._welcomed(conn, row, address, "directory")
        if there.group_of(proof.member) is None:
            raise ForbiddenError(
                f"{visible(typed)} may not sign in here: the account is in none of the groups",
                repair=f"ask an administrator: keyfast person groups {typed}",
            )
        return None

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
        if await self._count(owner.name, row.address):
            return False
        proof = None
        if owner.account is not None and self._there is not None:
            there, sid = self._there, owner.account.sid
            proof = await self._asked(there, owner.name, row.address, password, sid=sid)
            proved = await self._code_holds(owner, code, right=proof.granted)
        else:
            proved = await self._proved(owner, password, code)
        if not proved:
            await self._tries.failed(owner.name, row.address)
            return False
        now = int(self._clock())
        async with self._database.write() as conn:
            await self._tries.take_back(conn, owner.name, row.address)
            if proof is not None and self._there is not None:
                known = await self._there.stand(conn, owner, proof.member)
                if known is None or known.person != owner.person:
                    return False  # what they are has changed: their session is over
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
        """Return a session that lives, and whose it is; end one that has been idle or is too old.

        So ends one of somebody whom the directory has made somebody else, or nobody, since they signed in.
        """
        if not token.startswith(SESSION_PREFIX) or len(token) > MAX_TOKEN_CHARS:
            return None
        key, now = digest(Secret(token.encode("utf-8", "replace"))), int(self._clock())
        async with self._database.read() as conn:
            found = await sessions.get(conn, key)
        if found is None:
            return None
        row, owner = found
        live = standing(Times(row.begun_at, row.seen_at), now) is Standing.LIVE and owner.state is PersonState.ACTIVE
        known = await standing_of(owner, self._there) if live else None
        if known is not None and known.person == owner.person:
            return row, known
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
        return await self._code_holds(row, code, right=right)

    async def _code_holds(self, row: PersonRow | None, code: str, *, right: bool) -> bool:
        """Tell whether somebody is in whose password was right or not, by their code where they have one."""
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
            if row is None or row.account is not None:  # the provider vouches for nobody of the directory
                return None
            if row.state is PersonState.DISABLED or row.subject not in ("", subject):
                return None
            return await self._welcomed(conn, replace(row, subject=subject), address, "provider", min(proved_at, now))

    async def admit_by_passkey(self, person_id: str, address: str) -> Session | None:
        """Begin a session of somebody who has just proved who they are by a passkey; None if they are not active.

        Raises:
            NotReadyError: they come by the directory, and it cannot be asked about them.
        """
        async with self._database.read() as conn:
            row = await people.get(conn, person_id)
        if row is not None and row.account is not None:
            row = await self._there.ask_now(row) if self._there is not None else None
        if row is None:
            return None
        async with self._database.write() as conn:
            row = await people.get(conn, person_id, lock=True)
            if row is None or row.state is not PersonState.ACTIVE:
                return None
            return await self._welcomed(conn, row, address, "passkey")

    async def _welcomed(
        self, conn: AsyncConnection, row: PersonRow, address: str, way: str, proved_at: int | None = None
    ) -> Session:
        """Note that somebody is in, who may have been invited until now; ``proved_at`` if that was before now."""
        now = int(self._clock())
        if row.state is PersonState.INVITED:
            state = person_life.step(row.state, PersonEvent.JOINED)
            row = replace(row, state=state, invitation=None, invited_until=0)
        await people.put(conn, replace(row, signed_in_at=now))
        return await self._session_of(conn, row, address, now if proved_at is None else proved_at, way)

    async def _opened(self, row: PersonRow, password: Secret, address: str) -> Session | None:
        """Begin a session; None if the person was changed while the password was looked at."""
        now, hashed = int(self._clock()), row.password_hash
        if not self._passwords.is_current(hashed):
            hashed = await asyncio.to_thread(self._passwords.hash, password)
        async with self._database.write() as conn:
            on_record = await people.by_name(conn, row.name, lock=True)
            if on_record is None or (on_record.password_hash, on_record.state) != (row.password_hash, row.state):
                return None
            await self._tries.take_back(conn, row.name, address)
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

    async def _count(self, name: str, address: str) -> int:
        """Count a try as failed, or return for how many seconds it is not looked at.

        Raises:
            NotReadyError: too many are being looked at; nothing was counted.
        """
        if self._waiting >= MOST_WAITING:
            raise NotReadyError("too many people sign in at once", retry_after=5)
        return await self._tries.count(name, address)
