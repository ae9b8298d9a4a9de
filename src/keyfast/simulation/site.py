"""The server of a simulation: the real services over SQLite, spoken to in memory, with the embedded directory."""

import asyncio
import contextlib
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec.structs import replace

from keyfast.core.secret import Secret
from keyfast.directory.local import make_verifier
from keyfast.errors import ConflictError
from keyfast.server import compose, compose_admin
from keyfast.services.founding import found_installation
from keyfast.services.local_accounts import StoredAccounts
from keyfast.settings import RecoverySettings, Settings
from keyfast.simulation.door import Door
from keyfast.simulation.moments import VirtualTime
from keyfast.store import policies
from keyfast.store.database import Database
from keyfast.store.schema import upgrade
from keyfast.wire.admin import AccountOrder, AccountView, Changed, ModeOrder, PackageLine, PackageOrder
from keyfast.wire.bundle import Bundle
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder
from keyfast.wire.messages import Policy

INTERVAL = 24 * 3600
"""Seconds between check-ins: as slow as a policy may be, so that a quarter of a year takes minutes."""
HASTE = 4
"""Rounds of the rotation runner in one round of the background jobs: it takes one step of each rotation a round."""
CHEAP = 16
"""Cost of a stored password: real ones take a tenth of a second each time that they are tried, on purpose."""
Answer = TypeVar("Answer")


class AdminError(ConflictError):
    """The admin API said no."""


class Site:
    """One server in virtual time.

    Args:
        folder: where its data is; may be lost afterwards.
        time: the simulation's.
        device_key: setting ``recovery.device_key``.
    """

    def __init__(self, folder: Path, time: VirtualTime, device_key: str = "always") -> None:
        self.settings = Settings(folder, recovery=RecoverySettings(device_key))
        self.time = time
        self.net = Door(self.settings.urls)
        self._opened = contextlib.AsyncExitStack()
        self._parts: compose.Parts
        self._check_in: compose.CheckInParts
        self._admin: compose_admin.AdminParts

    async def found(self) -> None:
        """Found the installation, with the slowest policy there is, and open it."""
        database = await Database.open(self.settings.database_url)
        try:
            await found_installation(self.settings, database, "Simulation", int(self.time.now))
            async with database.write() as conn:
                await policies.add(conn, Policy(version=2, check_in_interval_s=INTERVAL), created_at=int(self.time.now))
        finally:
            await database.close()
        await self.start()

    async def start(self) -> None:
        """Open the installation that the data directory holds; what cannot be opened leaves nothing open."""
        async with contextlib.AsyncExitStack() as opened:
            self._parts = await self._open()
            opened.push_async_callback(self._parts.database.close)
            self._check_in = await compose.check_in_service(self._parts, gap_s=0)
            opened.push_async_callback(self._check_in.close)
            self._admin = compose_admin.admin_service(self._parts)
            opened.push_async_callback(self._admin.directory.close)
            self._opened = opened.pop_all()
        self.net.app = self._check_in.app

    async def _open(self) -> compose.Parts:
        return await compose.open_parts(self.settings, self.time)

    async def stop(self) -> None:
        """Close it; endpoints find nobody. May be called twice, or before it was ever opened."""
        self.net.app = None
        await self._opened.aclose()

    async def tick(self) -> None:
        """Do once what the background jobs do all the time; a server that is down has none."""
        if self.net.app is None:
            return
        await self._check_in.tally.flush()
        await self._admin.watch.tick()
        await self._admin.windows.tick()
        for _ in range(HASTE):
            await self._admin.rotations.tick()
        await self._parts.live.refresh()

    async def roll_call(self) -> None:
        """Make a whole roll call, if one is due; none of the other jobs waits for it."""
        await self._check_in.traffic.flush()
        await self._admin.roll_calls.now()

    async def backup(self, to: Path) -> None:
        """Copy the database as a backup does."""
        database = self.settings.data / "keyfast.db"
        with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(to)) as target:
            source.backup(target)

    async def restore(self, copy: Path) -> None:
        """Put a backup in the database's place, as an operator does after a disaster.

        The directory does not go back with it: elsewhere it is no part of this server.
        """
        await self.stop()
        await asyncio.to_thread(_replace, self.settings.data / "keyfast.db", copy)
        await self.start()

    # --- what administrators do

    async def get(self, path: str, kind: type[Answer], **query: str | int) -> Answer:
        """Read from the admin API."""
        return await self._asked("GET", path, kind, params=query)

    async def post(self, path: str, kind: type[Answer], body: object = None) -> Answer:
        """Write to the admin API.

        Raises:
            AdminError: it said no.
        """
        content = msgspec.json.encode(body or {})
        return await self._asked("POST", path, kind, content=content, headers={"content-type": "application/json"})

    async def _asked(self, method: str, path: str, kind: type[Answer], **request: Any) -> Answer:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self._admin.app)) as http:
            response = await http.request(method, f"http://keyfast{path}", **request)
        if not response.is_success:
            raise AdminError(f"{method} {path}: {response.text[:300]}")
        return msgspec.json.decode(response.content, type=kind)

    async def package(self, **order: Any) -> Bundle:
        """Build a package and return what it embeds."""
        line = await self.post("/admin/v1/packages", PackageLine, PackageOrder(**({"max_uses": 1_000_000} | order)))
        with tarfile.open(line.path) as opened:
            member = opened.extractfile("keyfast-agent/keyfast.json")
            if member is None:
                raise AdminError("the package embeds nothing")
            return msgspec.json.decode(member.read(), type=Bundle)

    async def set_password(self, name: str, password: str) -> None:
        """Set an account's password in the directory, behind the server's back."""
        await self.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(name, password))
        stored = StoredAccounts(self._parts.database, self._parts.clock)
        known = await stored.get(name)
        if known is not None:
            await stored.put(replace(known, verifier=make_verifier(Secret(password.encode()), CHEAP)))

    async def add_account(self, name: str, password: str) -> None:
        """Put the account's present password on record."""
        await self.post("/admin/v1/accounts", AccountView, AccountOrder(name, password))

    async def open_mode(self, mode: str) -> None:
        """Open an authentication mode."""
        await self.post("/admin/v1/modes/open", Changed, ModeOrder(mode))


def _replace(database: Path, copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as lost:
        accounts = lost.execute("SELECT * FROM local_account").fetchall()
    for leftover in database.parent.glob(f"{database.name}*"):
        leftover.unlink()
    shutil.copyfile(copy, database)
    with contextlib.closing(sqlite3.connect(database)) as restored, restored:
        restored.execute("DELETE FROM local_account")
        for row in accounts:
            restored.execute(f"INSERT INTO local_account VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608


def new_site(folder: Path, time: VirtualTime, device_key: str = "always") -> Site:
    """Prepare the database of a new site. Not to be called on a running loop."""
    site = Site(folder, time, device_key)
    upgrade(site.settings.database_url)
    return site
