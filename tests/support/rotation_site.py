"""A server's rotation services over a real store, with endpoints that do what they are told."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from sqlalchemy import select, update
from tests.support.databases import endpoint_row

from keyfast.core.command import CommandState as C
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.rotation_state import RotationEvent
from keyfast.core.secret import Secret
from keyfast.services.account import AccountService
from keyfast.services.keyring import KeyringService
from keyfast.services.modes import ModeService
from keyfast.services.rotate import RotationService
from keyfast.services.rotation_acts import RotationActs
from keyfast.services.rotation_ledger import RotationLedger
from keyfast.services.rotation_password import PasswordSetter
from keyfast.services.rotation_profile import ProfileSigner
from keyfast.services.rotation_runner import RotationRunner
from keyfast.services.watch import AccountWatch
from keyfast.store import accounts, endpoints
from keyfast.store.tables import command, presence
from keyfast.wire.rotation import RotationOrder

A, B = "CORP\\svc-a", "CORP\\svc-b"
NAMES = ("svc-a", "svc-b")
FAST: dict[str, Any] = {
    "soak_s": 10,
    "drain_s": 10,
    "refused_s": 10,
    "backup_s": 10,
    "publish_s": 10,
    "rate_per_minute": 100_000,
    "canary_most": 1,
    "percents": (50.0,),
}
"""Holds and waves that take seconds."""


class DiedError(Exception):
    """The process ended here; not a fault that anybody handles."""


class MortalDatabase:
    """A database whose process dies at the n-th transaction that writes, before or after its commit."""

    def __init__(self, database: Any, died: type[BaseException] = DiedError) -> None:
        self._database = database
        self._died = died
        self.writes = 0
        self.die_at = 0
        self.after_commit = False

    def read(self) -> Any:
        """See ``Database.read``."""
        return self._database.read()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        """See ``Database.write``."""
        self.writes += 1
        dies = self.writes == self.die_at
        async with self._database.write() as conn:
            yield conn
            if dies and not self.after_commit:
                raise self._died
        if dies:
            raise self._died


class FakeGenerations:
    """Implements ``Generations``; remembers what became of each account."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []

    async def change(self, conn: Any, account: str, what: str, now: int) -> int:
        """See ``Generations.change``."""
        self.changes.append((account, what))
        return 1


@dataclass
class RotationSite:
    """Everything that rotations need; ``database`` may die."""

    site: Any
    database: MortalDatabase
    directory: Any
    clock: Any
    generations: FakeGenerations
    service: RotationService
    runner: RotationRunner
    accounts: AccountService
    modes: ModeService

    async def tick(self, times: int = 1, seconds: float = 1) -> None:
        """Let time pass, and the runner and the watch do their work."""
        for _ in range(times):
            self.clock.now += seconds
            await self.runner.tick()

    async def fleet(self, number: int, account: str = A, mode: Mode = Mode.WINDOWS) -> list[str]:
        """Put endpoints on record that check in with an account."""
        now = int(self.clock.now)
        rows = [replace(endpoint_row(name=f"pc-{n:03}"), account_key=account, mode=mode) for n in range(number)]
        async with self.site.database.write() as conn:
            for row in rows:
                await endpoints.insert(conn, row, EndpointState.ACTIVE)
            seen = {"seen_at": now, "next_due": now + 10**6}
            await conn.execute(update(presence).where(presence.c.seen_at == 0).values(seen))
        return [row.id for row in rows]

    async def move(self, before: C = C.QUEUED, after: C = C.VERIFIED, *, only: Iterable[str] | None = None) -> None:
        """Let endpoints take what waits for them, as the server's part of it would record it."""
        which = command.c.state == before.value
        if only is not None:
            which = which & command.c.endpoint_id.in_(list(only))
        async with self.site.database.write() as conn:
            await conn.execute(update(command).where(which).values(state=after.value, statement="jws"))

    async def commands(self) -> list[Any]:
        """Every command of every endpoint."""
        async with self.site.database.read() as conn:
            return list(await conn.execute(select(command).order_by(command.c.endpoint_id, command.c.seq)))

    async def generations_of(self, account: str) -> list[Any]:
        """Credential generations of an account."""
        async with self.site.database.read() as conn:
            return [row for row in await accounts.generations(conn) if row.account_key == account]

    async def until(self, rotation_id: str, state: str, *, seconds: float = 5, most: int = 60) -> Any:
        """Let everybody do their work until the rotation is in a phase."""
        for _ in range(most):
            found = await self.service.show(rotation_id)
            if found.state == state:
                return found
            await self.move()
            await self.tick(seconds=seconds)
        raise AssertionError(f"still {found.state}: {found.steps} {[a for a in found.acts if not a.done_at]}")

    async def plan(self, kind: str, **changes: Any) -> str:
        """Plan a fast rotation; return its id."""
        order = RotationOrder(**({"kind": kind, "source": A} | FAST | changes))
        return (await self.service.plan(order, "admin")).id


def rotation_site(site: Any) -> RotationSite:
    """Build the services over ``site`` (tests/unit/services/conftest.py)."""
    numbers = count(1)
    database, clock = MortalDatabase(site.database), site.clock
    generations = FakeGenerations()

    def entropy(size: int) -> bytes:
        return next(numbers).to_bytes(size, "big")

    modes = ModeService(site.live, site.database, (Mechanism.BASIC,), lambda: "PEM", clock)
    keyring = KeyringService(site.live, site.database, site.kek, site.settings.kek_file, clock)
    watch = AccountWatch(site.database, site.directory, lambda: site.kek, clock)
    ledger = RotationLedger(database, clock)  # type: ignore[arg-type]
    acts = RotationActs(
        database,  # type: ignore[arg-type]
        PasswordSetter(database, site.directory, watch, lambda: site.kek, entropy, clock),  # type: ignore[arg-type]
        ProfileSigner(site.live, clock),
        modes,
        keyring,
        generations,
        clock,
        lambda: 1.0,
    )
    return RotationSite(
        site,
        database,
        site.directory,
        clock,
        generations,
        RotationService(database, ledger, site.directory, clock, entropy),  # type: ignore[arg-type]
        RotationRunner(database, ledger, acts, clock),  # type: ignore[arg-type]
        AccountService(site.database, site.directory, watch, lambda: site.kek, clock),
        modes,
    )


async def rotating(site: Any) -> RotationSite:
    """Accounts a and b on record, Windows mode open, ten endpoints on a."""
    made = rotation_site(site)
    for name in NAMES:
        site.directory.set_password(name, f"First-{name}")
        await made.accounts.add(name, Secret(f"First-{name}".encode()), (), "admin")
    await made.modes.open_(Mode.WINDOWS, "", "admin")
    made.ids = await made.fleet(10)
    return made


async def started(world: RotationSite, kind: str = "password", **changes: Any) -> str:
    """Plan a rotation and start it; return its id."""
    rotation_id = await world.plan(kind, **({"target": B} if kind in {"password", "account"} else {}) | changes)
    await world.service.act(rotation_id, RotationEvent.STARTED, "admin")
    return rotation_id


def acts(view: Any) -> list[str]:
    """The acts of a rotation, in order."""
    return [act.act for act in view.acts]


def against(view: Any, step: str) -> tuple[str, ...]:
    """What stands against a step."""
    return next(found.against for found in view.steps if found.step == step)
