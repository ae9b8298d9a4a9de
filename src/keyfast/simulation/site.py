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

from keyfast.server import compose
from keyfast.services.founding import found_installation
from keyfast.settings import Settings
from keyfast.simulation.moments import VirtualTime
from keyfast.store import policies
from keyfast.store.database import Database, upgrade
from keyfast.wire.admin import (
    AccountOrder,
    AccountView,
    Changed,
    LocalAccountLine,
    LocalAccountOrder,
    ModeOrder,
    PackageLine,
    PackageOrder,
)
from keyfast.wire.messages import Bundle, Policy

INTERVAL = 24 * 3600
"""Seconds between check-ins: as slow as a policy may be, so that a quarter of a year takes minutes."""
Answer = TypeVar("Answer")


class AdminError(RuntimeError):
    """The admin API said no."""


class _Door(httpx2.AsyncBaseTransport):
    """The way in; the server behind it may be another one after a restore, or none."""

    def __init__(self) -> None:
        self.inner: httpx2.AsyncBaseTransport | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on."""
        if self.inner is None:
            raise httpx2.ConnectError("the server is down", request=request)
        return await self.inner.handle_async_request(request)


class Site:
    """One server in virtual time.

    Args:
        folder: where its data is; may be lost afterwards.
        time: the simulation's.
    """

    def __init__(self, folder: Path, time: VirtualTime) -> None:
        self.settings = Settings(folder)
        self.time = time
        self.net = _Door()
        self._parts: compose.Parts
        self._check_in: compose.CheckInParts
        self._admin: compose.AdminParts

    async def found(self) -> None:
        """Found the installation, with the slowest policy there is, and open it."""
        database = await Database.open(self.settings.database_url)
        await found_installation(self.settings, database, "Simulation", int(self.time.now))
        async with database.write() as conn:
            await policies.add(conn, Policy(version=2, check_in_interval_s=INTERVAL), created_at=int(self.time.now))
        await database.close()
        await self.start()

    async def start(self) -> None:
        """Open the installation that the data directory holds."""
        self._parts = await compose.open_parts(self.settings, self.time)
        self._check_in = await compose.check_in_service(self._parts)
        self._admin = compose.admin_service(self._parts)
        self.net.inner = httpx2.ASGITransport(self._check_in.app)

    async def stop(self) -> None:
        """Close it; endpoints find nobody."""
        self.net.inner = None
        await self._check_in.close()
        await self._admin.directory.close()
        await self._parts.database.close()

    async def tick(self) -> None:
        """Do once what the background jobs do all the time."""
        await self._check_in.tally.flush()
        await self._admin.watch.tick()
        await self._admin.windows.tick()
        await self._admin.rotations.tick()
        await self._parts.live.refresh()

    async def backup(self, to: Path) -> None:
        """Copy the database as a backup does."""
        database = self.settings.data / "keyfast.db"
        with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(to)) as target:
            source.backup(target)

    async def restore(self, copy: Path) -> None:
        """Put a backup in the database's place, as an operator does after a disaster."""
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

    async def add_account(self, name: str, password: str) -> None:
        """Put the account's present password on record."""
        await self.post("/admin/v1/accounts", AccountView, AccountOrder(name, password))

    async def open_mode(self, mode: str) -> None:
        """Open an authentication mode."""
        await self.post("/admin/v1/modes/open", Changed, ModeOrder(mode))


def _replace(database: Path, copy: Path) -> None:
    for leftover in database.parent.glob(f"{database.name}*"):
        leftover.unlink()
    shutil.copyfile(copy, database)


def new_site(folder: Path, time: VirtualTime) -> Site:
    """Prepare the database of a new site. Not to be called on a running loop."""
    site = Site(folder, time)
    upgrade(site.settings.database_url)
    return site
