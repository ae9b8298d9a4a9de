"""Another process that writes to the same database through ``Database``.

Usage: python -m tests.support.second_process URL write COUNT    prints the seconds of the slowest
       python -m tests.support.second_process URL hold           holds the lock until its input ends
"""

import asyncio
import sys
import time

from keyfast.store import events
from keyfast.store.database import Database


async def _write(database: Database, count: int) -> None:
    slowest = 0.0
    for number in range(count):
        begun = time.monotonic()
        async with database.write() as conn:
            await events.add(conn, at=number, kind="second", endpoint_id=None, detail={})
        slowest = max(slowest, time.monotonic() - begun)
    print(slowest, flush=True)  # noqa: T201


async def _hold(database: Database) -> None:
    async with database.write() as conn:
        await events.add(conn, at=0, kind="held", endpoint_id=None, detail={})
        print("held", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)


async def _main(url: str, act: str, *rest: str) -> None:
    database = await Database.open(url)
    await (_write(database, int(rest[0])) if act == "write" else _hold(database))
    await database.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
