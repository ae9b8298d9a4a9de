"""Roll calls of a real server at moments that a test chooses, and a policy that keeps it from waiting long."""

import asyncio
import time
from typing import Any

from sqlalchemy import delete
from tests.support.server import RunningServer

from keyfast.store import policies, roll_calls, tables
from keyfast.store.database import Database
from keyfast.wire.messages import Policy

DEADLINE = 30.0
OFTEN = 2
"""Version of that policy."""


async def often(server: RunningServer, interval: int) -> None:
    """Let endpoints check in every so many seconds, so that nobody need wait for half an hour."""
    database = await Database.open(server.settings.database_url)
    async with database.write() as conn:
        await policies.add(conn, Policy(version=OFTEN, check_in_interval_s=interval), created_at=int(time.time()))
    await database.close()


async def called(server: RunningServer) -> None:
    """Have the server call the roll now: it forgets when it did so last. Returns when it is over."""
    database: Any = await Database.open(server.settings.database_url)
    try:
        async with database.write() as conn:
            await conn.execute(delete(tables.roll_call))
        end = time.monotonic() + DEADLINE
        while True:
            async with database.read() as conn:
                began, ended = await roll_calls.last(conn)
            if 0 < began <= ended:
                return
            assert time.monotonic() < end, "the roll call is awaited"
            await asyncio.sleep(0.1)
    finally:
        await database.close()
