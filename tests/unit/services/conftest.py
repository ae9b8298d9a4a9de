"""Services over a real store, a directory in memory and a clock that a test holds in its hands."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.support.databases import NOW, new_database
from tests.support.desk import Desk, open_desk
from tests.support.fake_directory import FakeDirectory

from keyfast.core.mode import Mechanism, Mode
from keyfast.core.secret import Secret
from keyfast.services.account import AccountService
from keyfast.services.founding import found_installation
from keyfast.services.live import LiveState
from keyfast.services.modes import ModeService
from keyfast.services.watch import AccountWatch
from keyfast.settings import Settings
from keyfast.store import accounts, events, packages
from keyfast.store.accounts import GenerationRow
from keyfast.store.database import Database
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.trust.kek import Kek, load_kek

KEY = "CORP\\svc-see"
ENDPOINTS = 3
OLD, NEW = "Old-Passw0rd", "New-Passw0rd"


class Clock:
    """Unix seconds that pass when told to."""

    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """One server's services."""

    settings: Settings
    database: Database
    directory: FakeDirectory
    live: LiveState
    kek: Kek
    clock: Clock
    watch: AccountWatch
    accounts: AccountService

    async def add(self, password: str = OLD) -> None:
        """Set the account's password in the directory and put it on record."""
        self.directory.set_password("svc-see", password)
        await self.record(password)

    async def record(self, password: str) -> None:
        """Put the account's password on record as it is in the directory."""
        await self.accounts.add("svc-see", Secret(password.encode()), (), "admin")
        await self.live.refresh()

    async def change(self, password: str = NEW, after: int = 10) -> None:
        """Set another password behind the server's back."""
        self.clock.now += after
        self.directory.set_password("svc-see", password)

    async def read(self) -> None:
        """One round of the watch, and what follows from it in the check-in process."""
        async with self.database.read() as conn:
            row = await accounts.get(conn, KEY)
        assert row is not None
        await self.watch.read(row)
        await self.live.refresh()

    async def generations(self) -> list[GenerationRow]:
        """What is known of each generation."""
        async with self.database.read() as conn:
            return await accounts.generations(conn)

    async def events(self, *kinds: str) -> list[tuple[str, dict]]:
        """Kind and particulars of events, oldest first; of some kinds, or of all."""
        async with self.database.read() as conn:
            rows = await events.list_page(conn, endpoint_id=None, before=None, limit=1000)
        return [(row.kind, row.detail) for row in reversed(rows) if row.kind in kinds or not kinds]

    async def package(self, generation: int = 1, *, ring: str = "default", mode: str = "windows") -> str:
        """Put a package of the account on record with which endpoints have enrolled."""
        number = f"00000000-0000-4000-8000-{int(self.clock.now) + generation:012}"
        row = PackageRow(number, NOW, "admin", mode, ring, "auto", "f", "00", None, KEY, generation)
        async with self.database.write() as conn:
            await packages.create(
                conn, row, EnrolmentTokenRow(f"jti {number}", number, NOW, NOW + 60, 9, ENDPOINTS, None)
            )
        return number


@pytest.fixture
def url(tmp_path) -> str:
    return new_database("sqlite", tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def site(url, tmp_path, clock) -> AsyncIterator[Site]:
    settings = Settings(tmp_path, database=url)
    database = await Database.open(url)
    opened = await found_installation(settings, database, "Example", NOW)
    live = LiveState(database, lambda installation: load_kek(settings.kek_file, installation), settings.urls)
    await live.refresh()
    directory = FakeDirectory(clock)
    watch = AccountWatch(database, directory, lambda: opened.kek, clock)
    service = AccountService(database, directory, watch, lambda: opened.kek, clock)
    yield Site(settings, database, directory, live, opened.kek, clock, watch, service)
    await database.close()


@pytest.fixture
async def desk(site) -> AsyncIterator[Desk]:
    """Services that endpoints speak to; Windows mode is open, the account's password is on record."""
    await site.add()
    modes = ModeService(site.live, site.database, tuple(Mechanism), lambda: "", site.clock)
    await modes.open_(Mode.WINDOWS, "", "admin")
    async with open_desk(site, modes) as made:
        yield made


@pytest.fixture
async def enrolled(desk) -> Desk:
    """The same, and its endpoint has joined."""
    await desk.enrol()
    return desk
