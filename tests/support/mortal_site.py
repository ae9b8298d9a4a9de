"""A whole server in this process that dies at one of its writes, and is composed anew over the same database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from keyfast.server import compose
from keyfast.simulation.door import Door
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.site import Site

CHECK_IN = "/endpoint/v1/check-in"


class DeadError(BaseException):
    """The server's process ended here: nothing in it handles that, as nothing handles kill -9."""


@dataclass
class Fate:
    """When the server dies: at the n-th write from now on, before or after its commit.

    Attributes:
        writes: transactions that wrote so far; a check-in is one.
        die_at: which of them is the last; 0 for none.
        after_commit: it was committed, and nobody heard of it.
        dead: the process ended.
        spared: what is written now is no step of a story, and nobody dies at it.
        deaths: how often it did.
    """

    writes: int = 0
    die_at: int = 0
    after_commit: bool = False
    dead: bool = False
    spared: bool = False
    deaths: int = 0

    @asynccontextmanager
    async def write(self, transaction: Any) -> AsyncIterator[Any]:
        """Do one write, or die at it."""
        self.alive()
        self.writes += not self.spared
        last = self.writes == self.die_at and not self.spared
        async with transaction as conn:
            yield conn
            if last and not self.after_commit:
                self._die()
        if last:
            self._die()

    def alive(self) -> None:
        """Do nothing; a process that ended does not even that."""
        if self.dead:
            raise DeadError

    def _die(self) -> None:
        self.dead, self.deaths = True, self.deaths + 1
        raise DeadError


class MortalDatabase:
    """The store of a server that dies."""

    def __init__(self, database: Any, fate: Fate) -> None:
        self._database, self._fate = database, fate

    def read(self) -> Any:
        """See ``Database.read``."""
        self._fate.alive()
        return self._database.read()

    def write(self) -> Any:
        """See ``Database.write``."""
        return self._fate.write(self._database.write())

    async def close(self) -> None:
        """See ``Database.close``."""
        await self._database.close()


class Wire(Door):
    """The way to a server that dies: whoever was speaking to it loses the connection.

    Check-ins are committed by a writer with a connection of its own, and counted here.
    """

    fate = Fate()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            self.fate.alive()
            if request.url.path != CHECK_IN:
                return await super().handle_async_request(request)
            async with self.fate.write(_nothing()):
                if self.fate.writes == self.fate.die_at and not self.fate.after_commit:
                    return httpx2.Response(503)  # it does not leave
                return await super().handle_async_request(request)
        except DeadError:
            raise httpx2.ReadError("the server ended", request=request) from None


class MortalSite(Site):
    """``Site`` with a fate."""

    def __init__(self, folder: Path, time: VirtualTime, device_key: str, fate: Fate) -> None:
        super().__init__(folder, time, device_key)
        self.fate = fate
        self.net = Wire(self.settings.urls)
        self.net.fate = fate

    async def _open(self) -> compose.Parts:
        parts = await super()._open()
        return replace(parts, database=MortalDatabase(parts.database, self.fate))  # type: ignore[arg-type]

    async def stop(self) -> None:
        """See ``Site.stop``: what a server writes that ends well is not written by one that died."""
        self.fate.spared = True
        with suppress(DeadError):
            await super().stop()
        self.fate.spared = False

    async def come_back(self) -> None:
        """The supervisor starts the next process where one ended."""
        if self.fate.dead:
            await self.stop()
            self.fate.dead = False
            await self.start()


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
