"""A simulated server whose every acknowledgement is compared with what is on record."""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from keyfast.simulation.habits import DAY
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.simulation.site import Site, new_site
from keyfast.trust.encoding import b64u

CHECK_IN = "/endpoint/v1/check-in"


class Witness(httpx2.AsyncBaseTransport):
    """Between the network and the server: what was acknowledged is on record by then, and no fault is hidden."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.acknowledged: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._site.net.handle_async_request(request)
        content = await response.aread()
        assert b"the server failed" not in content
        if request.url.path == CHECK_IN and response.status_code == 200:
            head = hashlib.sha256(await request.aread()).digest()
            assert rows(self._site, "SELECT 1 FROM presence WHERE head = ?", head), "acknowledged, and not on record"
            self.acknowledged.add(b64u(head))
        return response


def rows(site: Site, query: str, *values: object) -> list[Any]:
    """Read what is committed, by a connection of its own."""
    with contextlib.closing(sqlite3.connect(site.settings.data / "keyfast.db")) as database:
        return database.execute(query, values).fetchall()


def founded(folder: Path, passwords: Mapping[str, str]) -> Path:
    """Make a server in Windows mode with these accounts, which is stopped and may be copied; return ``folder``."""
    site = new_site(folder, VirtualTime(START - DAY))

    async def made() -> None:
        await site.found()
        for account, password in passwords.items():
            await site.set_password(account, password)
            await site.add_account(account, password)
        await site.open_mode("windows")
        await site.stop()

    asyncio.run(made())
    return folder
