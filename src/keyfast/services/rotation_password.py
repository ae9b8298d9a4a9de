"""The new password of an idle account: drawn, written down sealed, set in the directory, seen everywhere, on record.

What is written down before the directory is touched is only given up for a password that works: a crash at any point
sets the same password again, and one that cannot be opened any more is drawn anew, as nobody uses the account.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import newest
from keyfast.core.directory import AccountReading, Logon, PasswordDirectory, account_key
from keyfast.core.generation import GenerationState
from keyfast.core.logon import SENTENCES
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, KeyfastError, NotFoundError, NotReadyError
from keyfast.services.known_account import bound_to
from keyfast.services.rotation_evidence import faults, newest_proven
from keyfast.services.watch import AccountWatch
from keyfast.store import accounts, events, rotations
from keyfast.store.accounts import AccountRow, GenerationRow
from keyfast.store.database import Database
from keyfast.store.rotations import EffectRow
from keyfast.trust.encoding import b64u
from keyfast.trust.kek import Kek

ENTROPY_BYTES = 36
SUFFIX = "-aA1"
"""Four kinds of characters, whatever was drawn: what password policies ask for."""
SEALED = "sealed"


class PasswordSetter:
    """Sets and verifies passwords of accounts that a rotation moves endpoints to.

    Args:
        database: the store.
        directory: where the accounts are.
        watch: reads an account now and records the reading.
        kek: returns the KEK in force.
        entropy: random bytes.
        clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        directory: PasswordDirectory,
        watch: AccountWatch,
        kek: Callable[[], Kek],
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._directory = directory
        self._watch = watch
        self._kek = kek
        self._entropy = entropy
        self._clock = clock

    async def set_(self, effect: EffectRow, account: str) -> None:
        """Set a new password and put it on record as a proven generation.

        Raises:
            ConflictError: the directory does not let this server do it, and nobody else did it yet.
            NotReadyError: the directory cannot be asked, or not every domain controller has it yet.
        """
        name = account.rpartition("\\")[2]
        try:
            password = await self._written_down(effect, account)
            await self._directory.reset_password(name, password)
        except (ConflictError, NotFoundError) as fault:
            await self._demand_set_by_hand(effect, account, fault)
            return
        await self.demand_sound(account, password)
        await self._put(effect, account, password)

    async def verify(self, account: str) -> int:
        """Check the account at every domain controller, and its newest password once; return its generation.

        Raises:
            NotFoundError: it is not on record.
            ConflictError: it cannot log on.
            NotReadyError: it cannot be told, or not everywhere.
        """
        async with self._database.read() as conn:
            row = await newest_proven(conn, account)
        if row is None:
            raise ConflictError(f"no password of {account} works", repair=f"keyfast account add {account}")
        await self.demand_sound(
            account, self._kek().open(row.password_sealed, bound_to=bound_to(account, row.generation))
        )
        async with self._database.read() as conn:
            still = await newest_proven(conn, account)
        if still is None:
            raise ConflictError(f"the password of {account} was changed", repair=f"keyfast account add {account}")
        return still.generation

    async def demand_sound(self, account: str, password: Secret) -> None:
        """Read the account everywhere, then try its password once.

        Raises:
            NotFoundError, ConflictError, NotReadyError: see ``verify``.
        """
        async with self._database.read() as conn:
            row = await accounts.get(conn, account)
        if row is None:
            raise NotFoundError(
                f"{account} is not a client authentication account", repair=f"keyfast account add {account}"
            )
        read = await self._watch.read(row)
        if (fault := next(iter(faults(account, read, int(self._clock()))), None)) is not None:
            raise NotReadyError(fault, repair=f"keyfast account check {account}")
        said = await self._directory.verify(row.name, password)
        if said is not Logon.GRANTED:
            raise ConflictError(f"{account}: {SENTENCES[said]}", repair=f"keyfast account check {account}")

    async def _written_down(self, effect: EffectRow, account: str) -> Secret:
        """The password of this effect: the one written down already, or a new one, written down now."""
        place = f"rotation_effect/{effect.rotation_id}/{effect.number}"
        kek, now = self._kek(), int(self._clock())
        domain, _, name = account.rpartition("\\")
        async with self._database.write() as conn:
            await rotations.get(conn, effect.rotation_id, lock=True)
            known = await rotations.effect(conn, effect.rotation_id, effect.number)
            document = dict(known.document) if known else {}
            try:
                return kek.open(str(document[SEALED]), bound_to=place)
            except (KeyError, KeyfastError):
                password = Secret((b64u(self._entropy(ENTROPY_BYTES)) + SUFFIX).encode())
            document[SEALED] = kek.seal(password, bound_to=place)
            await rotations.progress(conn, effect, document, None)
            await accounts.add(conn, AccountRow(account_key(domain, name), name, domain, now, "rotation"))
        return password

    async def _put(self, effect: EffectRow, account: str, password: Secret) -> None:
        """Put the password on record; once, however often it is done: the effect is marked in the same transaction."""
        now, stamp = int(self._clock()), await self._stamp(account)
        async with self._database.write() as conn:
            await rotations.get(conn, effect.rotation_id, lock=True)
            known = await rotations.effect(conn, effect.rotation_id, effect.number)
            if known is None or known.done_at is not None:
                return
            held = [found.generation for found in await accounts.generations(conn) if found.account_key == account]
            packed = [found.generation for found in await accounts.built(conn, account)]
            number = 1 + max((*held, *packed), default=0)
            sealed = self._kek().seal(password, bound_to=bound_to(account, number))
            made = GenerationRow(account, number, GenerationState.PROVEN, sealed, stamp, stamp, 0, now, "rotation", now)
            await accounts.add_generation(conn, made)
            await self._done(conn, effect, {"account": account, "generation": number}, now)

    async def _stamp(self, account: str) -> int:
        read = await self._directory.read(account.rpartition("\\")[2])
        latest = newest(found for found in read if isinstance(found, AccountReading))
        return latest.password_stamp if latest else 0

    async def _demand_set_by_hand(self, effect: EffectRow, account: str, fault: KeyfastError) -> None:
        """An administrator who set the password and proved it to us has done it instead."""
        now = int(self._clock())
        async with self._database.write() as conn:
            row = await newest_proven(conn, account)
            if row is not None and row.judged_at > effect.decided_at:
                await self._done(conn, effect, {"account": account, "by_hand": True}, now)
                return
        raise ConflictError(
            f"{fault.message}; set a new password of {account} in the directory and prove it",
            repair=f"keyfast account add {account}",
        )

    async def _done(self, conn: AsyncConnection, effect: EffectRow, document: dict[str, Any], now: int) -> None:
        await rotations.progress(conn, effect, document, now)
        detail = {"rotation": effect.rotation_id, "act": effect.kind, **document}
        await events.add(conn, at=now, kind="rotation_acted", endpoint_id=None, detail=detail)
