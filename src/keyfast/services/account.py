"""Client authentication accounts: add one and prove its password, list, check, remove."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import msgspec

from keyfast.core import generation
from keyfast.core.account import AccountCondition, Verdict
from keyfast.core.account_verdict import judge
from keyfast.core.directory import Directory, Logon, account_key
from keyfast.core.generation import GenerationEvent, GenerationState
from keyfast.core.logon import SENTENCES
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, NotReadyError, UsageError
from keyfast.services.known_account import Outcome, bound_to, by_account, outcomes
from keyfast.services.watch import AccountWatch, built_with
from keyfast.store import accounts, events
from keyfast.store.accounts import AccountRow, BuiltRow, GenerationRow, ReadingRow
from keyfast.store.database import Database
from keyfast.trust.kek import Kek
from keyfast.wire.admin import AccountChange, AccountLine, AccountView, FindingView, GenerationLine, ReadingView
from keyfast.wire.bundle import BundleAccount

FATAL = frozenset(
    {
        AccountCondition.MISSING,
        AccountCondition.DISABLED,
        AccountCondition.LOCKED,
        AccountCondition.ACCOUNT_EXPIRED,
        AccountCondition.EXPIRED,
        AccountCondition.MUST_CHANGE,
        AccountCondition.OVER_PRIVILEGED,
        AccountCondition.UNREADABLE,
    }
)
"""Conditions in which an account is not taken, unless the administrator says so by name."""
NEVER = frozenset({AccountCondition.MISSING, AccountCondition.UNREADABLE})
"""Those that nobody can waive: there is nothing to authenticate with."""


class AccountService:
    """What administrators do with accounts.

    Args:
        database: the store.
        directory: where the accounts are.
        watch: reads an account and puts the reading on record.
        kek: returns the KEK in force.
        clock: unix seconds.
        realm: Kerberos realm of the directory's domain, empty if there is none.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        watch: AccountWatch,
        kek: Callable[[], Kek],
        clock: Callable[[], float],
        realm: str = "",
    ) -> None:
        self._realm = realm
        self._database = database
        self._directory = directory
        self._watch = watch
        self._kek = kek
        self._clock = clock

    async def add(self, account: str, password: Secret, despite: Iterable[str], by: str) -> AccountView:
        """Prove an account's password and put it on record as a new credential generation.

        Raises:
            UsageError: the name is none, or the account is in a condition in which it is not taken.
            ConflictError: the directory refuses the password.
            NotReadyError: the directory cannot be asked.
        """
        domain, name = _names(account, self._directory.domain)
        readings = await self._directory.read(name)
        now = int(self._clock())
        _demand_sound(judge(readings, now, grace_s=self._directory.grace_s), despite)
        await self._demand_proof(name, password)
        row = AccountRow(account_key(domain, name), name, domain.upper(), now, by)
        await self._put(row, password, readings, now, by, tuple(despite))
        await self._watch.read(row)
        return await self.show(row.key)

    async def names(self) -> list[str]:
        """The keys of all accounts, for who only has to choose one."""
        async with self._database.read() as conn:
            return [row.key for row in await accounts.load(conn)]

    async def list_(self) -> list[AccountLine]:
        """All accounts with their verdicts."""
        return [
            AccountLine(
                view.account,
                view.condition,
                view.summary,
                max((g.generation for g in view.generations), default=0),
                sum(line.endpoints for line in view.generations),
                view.read_at,
            )
            for view in await self.views()
        ]

    async def check_all(self) -> list[AccountView]:
        """Read every account from every domain controller now, and judge them."""
        async with self._database.read() as conn:
            rows = await accounts.load(conn)
        await self._watch.read_all(rows)
        return await self.views()

    async def views(self) -> list[AccountView]:
        """The verdicts on all accounts: every table is read once, however many accounts there are."""
        async with self._database.read() as conn:
            rows = await accounts.load(conn)
            held = by_account(await accounts.generations(conn))
            read = by_account(await accounts.readings(conn))
            made = by_account(await accounts.built(conn))
        return [self._view(row, held[row.key], read[row.key], made[row.key]) for row in rows]

    async def check(self, account: str) -> AccountView:
        """Read an account from every domain controller now, and judge it."""
        row = await self._row(account)
        await self._watch.read(row)
        return await self.show(row.key)

    async def show(self, key: str) -> AccountView:
        """The verdict on what was last read."""
        async with self._database.read() as conn:
            row = await accounts.get(conn, key)
            if row is None:
                raise NotFoundError(
                    f"{key} is not a client authentication account", repair=f"keyfast account add {key}"
                )
            held = await accounts.generations(conn, key)
            read = await accounts.readings(conn, key)
            made = await accounts.built(conn, key)
        return self._view(row, held, read, made)

    def _view(
        self,
        row: AccountRow,
        generations: Sequence[GenerationRow],
        read: Sequence[ReadingRow],
        made: Sequence[BuiltRow],
    ) -> AccountView:
        readings, built = outcomes(read), built_with(made, generations)
        verdict = judge(readings, int(self._clock()), built=built, grace_s=self._directory.grace_s)
        enrolled: dict[int, int] = {}
        for package in built:
            enrolled[package.generation] = enrolled.get(package.generation, 0) + package.endpoints
        return AccountView(
            account=row.key,
            condition=verdict.condition.value,
            summary=verdict.findings[0].sentence if verdict.findings else "nothing stands against it",
            read_at=max((reading.read_at for reading in readings), default=row.read_at),
            findings=tuple(msgspec.convert(finding, FindingView, from_attributes=True) for finding in verdict.findings),
            readings=tuple(_reading(reading) for reading in readings),
            generations=tuple(
                GenerationLine(
                    found.generation,
                    found.state.value,
                    found.created_at,
                    found.judged_at,
                    found.grace_ends_at,
                    enrolled.get(found.generation, 0),
                )
                for found in generations
            ),
        )

    async def history(self, account: str, limit: int) -> list[AccountChange]:
        """What changed, newest first."""
        row = await self._row(account)
        async with self._database.read() as conn:
            rows = await accounts.history(conn, row.key, limit=limit)
        return [AccountChange(found.read_at, _reading(reading)) for found in rows for reading in outcomes([found])[-1:]]

    async def embeddable(self, account: str) -> BundleAccount:
        """Return the newest credential generation that works, for a package; its password is tried once more.

        Raises:
            ConflictError: it does not; the message says why.
            NotReadyError: the directory cannot be asked.
        """
        row = await self._row(account)
        await self._watch.read(row)
        async with self._database.read() as conn:
            held = await accounts.generations(conn, row.key)
        newest = next((found for found in reversed(held) if found.state is GenerationState.PROVEN), None)
        if newest is None:  # and none is tried: a wrong password counts
            raise ConflictError(f"{row.key}: its password was changed", repair=f"keyfast account add {row.key}")
        password = self._kek().open(newest.password_sealed, bound_to=bound_to(row.key, newest.generation))
        said = await self._directory.verify(row.name, password)
        if said is not Logon.GRANTED:
            raise ConflictError(f"{row.key}: {SENTENCES[said]}", repair=f"keyfast account check {row.key}")
        return BundleAccount(row.name, row.domain, password.reveal().decode(), newest.generation, self._realm)

    async def remove(self, account: str, by: str) -> None:
        """Take an account off the record: nobody authenticates with it any more.

        Raises:
            ConflictError: packages that are in use were built with it.
        """
        row = await self._row(account)
        async with self._database.write() as conn:
            used = [built for built in await accounts.built(conn, row.key) if built.endpoints]
            if used:
                packages = f" of {count} packages" if (count := sum(bool(built.package) for built in used)) else ""
                raise ConflictError(
                    f"{sum(built.endpoints for built in used)} endpoints{packages} use {row.key}",
                    repair="move them to another account or to OAuth first",
                )
            await accounts.remove(conn, row.key)
            detail = {"account": row.key, "by": by}
            await events.add(conn, at=int(self._clock()), kind="account_removed", endpoint_id=None, detail=detail)

    async def _row(self, account: str) -> AccountRow:
        domain, name = _names(account, self._directory.domain)
        key = account_key(domain, name)
        async with self._database.read() as conn:
            row = await accounts.get(conn, key)
        if row is None:
            raise NotFoundError(f"{key} is not a client authentication account", repair=f"keyfast account add {key}")
        return row

    async def _demand_proof(self, name: str, password: Secret) -> None:
        said = await self._directory.prove(name, password)
        if said is not Logon.GRANTED:
            raise ConflictError(SENTENCES[said], repair="check the password; nothing was put on record")

    async def _put(
        self,
        row: AccountRow,
        password: Secret,
        readings: Iterable[Outcome],
        now: int,
        by: str,
        despite: tuple[str, ...],
    ) -> None:
        stamp = max((getattr(reading, "password_stamp", 0) for reading in readings), default=0)
        kek = self._kek()
        async with self._database.write() as conn:
            await accounts.add(conn, row)
            held = await accounts.generations(conn, row.key)
            known = next((found for found in reversed(held) if _sealed_same(kek, found, password)), None)
            if known is not None:  # restored, or simply told again: endpoints that hold it are right
                doubted = known.state
                if doubted is GenerationState.RETIRED:  # by telling it, the administrator trusts it again
                    doubted = generation.step(doubted, GenerationEvent.RETRUSTED)
                state = generation.step(doubted, GenerationEvent.PROVED)
                proven = replace(known, state=state, password_stamp=stamp, seen_stamp=stamp, judged_at=now)
                await accounts.set_generation(conn, known, proven)
                number = known.generation
            else:
                # Packages outlive an account that was removed and added again; their numbers are not used twice.
                packed = [found.generation for found in await accounts.built(conn, row.key)]
                number = 1 + max((*(found.generation for found in held), *packed), default=0)
                sealed = kek.seal(password, bound_to=bound_to(row.key, number))
                await accounts.add_generation(
                    conn,
                    GenerationRow(row.key, number, GenerationState.PROVEN, sealed, stamp, stamp, 0, now, by, now),
                )
            detail = {"account": row.key, "generation": number, "despite": despite, "by": by}
            await events.add(conn, at=now, kind="account_added", endpoint_id=None, detail=detail)


def _names(account: str, home: str) -> tuple[str, str]:
    r"""Split ``DOMAIN\\name``, ``name@domain`` or ``name``; only accounts of the directory's own domain are taken."""
    domain, slash, name = account.rpartition("\\")
    if not slash:
        name, _, domain = account.partition("@")
    domain = (domain or home).upper().partition(".")[0]
    if not name or domain != home.upper():
        raise UsageError(
            f"'{account}' names no account of the domain {home}", repair=f"keyfast account add {home}\\NAME"
        )
    return domain, name


def _sealed_same(kek: Kek, row: GenerationRow, password: Secret) -> bool:
    if row.state is GenerationState.DESTROYED:  # only its number is left
        return False
    return kek.open(row.password_sealed, bound_to=bound_to(row.account_key, row.generation)).same(password)


def _reading(reading: Outcome) -> ReadingView:
    return msgspec.convert(msgspec.to_builtins(reading), ReadingView)


def _demand_sound(verdict: Verdict, despite: Iterable[str]) -> None:
    waived = set(despite)
    for finding in verdict.findings:
        if finding.condition not in FATAL or (finding.condition.value in waived and finding.condition not in NEVER):
            continue
        if finding.condition is AccountCondition.UNREADABLE:
            if verdict.condition is AccountCondition.UNREADABLE:
                raise NotReadyError(finding.sentence, repair=finding.repair)
            continue
        waive = "" if finding.condition in NEVER else f"; or take it as it is: --despite {finding.condition.value}"
        raise UsageError(finding.sentence, repair=f"{finding.repair}{waive}".removeprefix("; "))
