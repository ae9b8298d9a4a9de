"""Passkeys: somebody who is signed in adds one, and signs in by it from then on."""

import uuid
from collections.abc import Callable

import msgspec

from keyfast.core import ids
from keyfast.core.person import Person, Session
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import ConflictError, NotFoundError, NotSignedInError, TrustError, UsageError
from keyfast.services.sign_in import SignInService
from keyfast.services.waiting import Waiting
from keyfast.store import events, passkeys, people
from keyfast.store.database import Database
from keyfast.store.passkeys import PasskeyRow
from keyfast.trust.passkey import Site, ask_to_make, ask_to_use, read_credential, read_made, read_use
from keyfast.wire.people import PasskeyLine

MAX_NAME = 60
MOST = 10
"""Passkeys of one person."""
_CHALLENGE_BYTES = 32


class Asked(msgspec.Struct, frozen=True):
    """What a browser is asked.

    Attributes:
        options: for its WebAuthn interface (JSON).
        ticket: which it brings back with the answer.
    """

    options: str
    ticket: Secret


class PasskeyService:
    """Adds, uses and removes passkeys.

    Args:
        database: the store.
        home: URL of the console; passkeys belong to its host name.
        sign_in: begins sessions.
        clock: unix seconds.
        entropy: random bytes.
    """

    def __init__(
        self,
        database: Database,
        home: str,
        sign_in: SignInService,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._site = Site(home)
        self._sign_in = sign_in
        self._clock = clock
        self._entropy = entropy
        # Apart, as what was asked to make a passkey must not be taken to sign in by one; with whose it is to be.
        self._making: Waiting[tuple[str, bytes]] = Waiting(clock)
        self._using: Waiting[bytes] = Waiting(clock)

    async def list_(self, name: str) -> list[PasskeyLine]:
        """Somebody's passkeys, oldest first.

        Raises:
            NotFoundError: there is nobody of this name.
        """
        async with self._database.read() as conn:
            row = await people.by_name(conn, name)
            if row is None:
                raise NotFoundError(f"no person {visible(name)}", repair="keyfast person list")
            return [_line(found) for found in await passkeys.of_person(conn, row.id)]

    async def begin_adding(self, person: Person) -> Asked:
        """Ask a browser to make one.

        Raises:
            ConflictError: the person has as many as one can have.
        """
        async with self._database.read() as conn:
            known = await passkeys.of_person(conn, person.id)
        if len(known) >= MOST:
            raise ConflictError(f"a person has at most {MOST} passkeys; remove one first")
        challenge = self._entropy(_CHALLENGE_BYTES)
        options = ask_to_make(
            self._site,
            person_id=uuid.UUID(person.id).bytes,
            name=person.name,
            known=[row.credential for row in known],
            challenge=challenge,
        )
        return Asked(options, self._making.put((person.id, challenge)))

    async def add(self, person: Person, name: str, ticket: str, answer: str) -> PasskeyLine:
        """Put on record what a browser made.

        Raises:
            UsageError: the name is none.
            NotSignedInError: it was asked of another, or too long ago.
            TrustError: it does not hold.
            ConflictError: it is on record already.
        """
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME or visible(name) != name:
            raise UsageError(f"a passkey's name has 1 to {MAX_NAME} visible characters")
        asked = self._making.take(ticket)
        if asked is None or asked[0] != person.id:
            raise NotSignedInError("this took too long; begin again")
        made, now = read_made(self._site, answer, asked[1]), int(self._clock())
        row = PasskeyRow(
            made.credential, ids.endpoint_id(self._entropy(16)), person.id, name, made.public_key, made.uses, now
        )
        async with self._database.write() as conn:
            if not await passkeys.add(conn, row):
                raise ConflictError("this passkey is on record already")
            detail = {"person": person.name, "passkey": row.id, "name": name}
            await events.add(conn, at=now, kind="passkey_added", endpoint_id=None, detail=detail)
        return _line(row)

    async def remove(self, name: str, passkey_id: str, by: str) -> None:
        """Remove one of somebody's.

        Raises:
            NotFoundError: there is no such person, or no such passkey of theirs.
        """
        async with self._database.write() as conn:
            row = await people.by_name(conn, name)
            if row is None or not await passkeys.remove(conn, row.id, passkey_id):
                raise NotFoundError(f"{visible(name)} has no passkey {visible(passkey_id, 40)}")
            detail = {"person": row.name, "passkey": passkey_id, "by": by}
            await events.add(conn, at=int(self._clock()), kind="passkey_removed", endpoint_id=None, detail=detail)

    def begin_using(self) -> Asked:
        """Ask a browser to use one; whose it is, is seen by the answer."""
        challenge = self._entropy(_CHALLENGE_BYTES)
        return Asked(ask_to_use(self._site, challenge), self._using.put(challenge))

    async def use(self, ticket: str, answer: str, address: str) -> Session:
        """Sign somebody in by what a browser answered.

        Raises:
            NotSignedInError: the answer is of nobody's passkey, does not hold, or came too late; not told which.
        """
        challenge = self._using.take(ticket)
        try:
            session = None if challenge is None else await self._used(challenge, answer, address)
        except TrustError as cause:
            raise NotSignedInError("this passkey did not sign you in") from cause
        if session is None:
            raise NotSignedInError("this passkey did not sign you in")
        return session

    async def _used(self, challenge: bytes, answer: str, address: str) -> Session | None:
        credential, holder = read_credential(answer)
        async with self._database.write() as conn:
            row = await passkeys.get(conn, credential)
            if row is None or holder not in (None, uuid.UUID(row.person_id).bytes):
                return None
            uses = read_use(self._site, answer, challenge, public_key=row.public_key, uses=row.uses)
            await passkeys.note_use(conn, credential, uses=uses, at=int(self._clock()))
        return await self._sign_in.admit_by_passkey(row.person_id, address)


def _line(row: PasskeyRow) -> PasskeyLine:
    return PasskeyLine(row.id, row.name, row.created_at, row.used_at)
