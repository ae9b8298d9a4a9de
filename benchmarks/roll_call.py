"""``python -m benchmarks.roll_call``: what one roll call costs, unpaced, over a filled database."""

import argparse
import asyncio
import resource
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from sqlalchemy import text

from benchmarks.fill import Fleet, fill
from keyfast.core.roll_call import RollCall
from keyfast.core.silence import Known, explain
from keyfast.core.usual import HOURS
from keyfast.services.roll_call import BATCH
from keyfast.store import roll_calls
from keyfast.store.database import Database
from keyfast.store.roll_calls import Counted
from keyfast.store.schema import upgrade
from keyfast.store.url import sqlite_path

NOW = 1_800_000_000
USUAL = (123,) * HOURS
ACCOUNTS = """
UPDATE endpoint SET mode = 'windows', generation = 1,
       account_key = 'CORP\\svc-' || (CAST(substr(name, 8, 7) AS integer) % 2),
       ring = 'ring-' || (CAST(substr(name, 8, 7) AS integer) % 5)
"""
PLACES = """
UPDATE presence SET
       address = '10.' || (CAST(substr(name, 8, 7) AS integer) % 12) || '.'
              || (CAST(substr(name, 8, 7) AS integer) % 251) || '.' || (CAST(substr(name, 8, 7) AS integer) % 253),
       seen_at = CASE WHEN account_key = 'CORP\\svc-1' THEN seen_at - 2700 ELSE seen_at END,
       next_due = CASE WHEN account_key = 'CORP\\svc-1' THEN next_due - 2700 ELSE next_due END
  FROM endpoint WHERE endpoint.id = presence.endpoint_id
"""
"""Two accounts of which one fell silent, five rings, some three thousand subnets."""


def main() -> None:
    """Fill, vary, walk, report."""
    parser = argparse.ArgumentParser(description="what one roll call costs")
    parser.add_argument("--endpoints", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty PostgreSQL database; SQLite in a temporary folder if left out")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="keyfast-roll-call-") as folder:
        url = asked.url or f"sqlite:///{Path(folder) / 'keyfast.db'}"
        # Elsewhere, so that the memory it takes is not the roll call's.
        filling = get_context("spawn").Process(target=_filled, args=(url, asked.endpoints))
        filling.start()
        filling.join()
        if filling.exitcode:
            sys.exit(filling.exitcode)
        sys.stdout.write(asyncio.run(_measured(url)))


def _filled(url: str, endpoints: int) -> None:
    upgrade(url)
    fill(url, Fleet(endpoints, NOW), lambda _: None)
    asyncio.run(_varied(url))


async def _varied(url: str) -> None:
    """Spread the fleet over accounts and places; on PostgreSQL past the server's own limit of time for a statement."""
    if sqlite_path(url) is None:
        server = await asyncpg.connect(url)
        for statement in (ACCOUNTS, PLACES, "VACUUM ANALYZE"):
            await server.execute(statement)
        await server.close()
        return
    database = await Database.open(url)
    async with database.write() as conn:
        for statement in (ACCOUNTS, PLACES):
            await conn.execute(text(statement))
    await database.close()


async def _measured(url: str) -> str:
    database = await Database.open(url)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, counts, after, slowest, batches = time.perf_counter(), RollCall(NOW), "", 0.0, 0
    while True:
        at = time.perf_counter()
        async with database.read() as conn:
            lines, after = await roll_calls.page(conn, after, BATCH)
        counts.count(lines)
        slowest, batches = max(slowest, time.perf_counter() - at), batches + 1
        if not after:
            break
    walked = time.perf_counter()
    suspect = explain(counts.groups, Known(NOW, 900))
    explained = time.perf_counter()
    async with database.write() as conn:
        await roll_calls.put_groups(conn, {key: Counted(group, USUAL, NOW) for key, group in counts.groups.items()})
    written, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await database.close()
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return (
        f"{batches} batches of {BATCH:,} in {walked - began:.1f} s, the slowest {slowest * 1000:.0f} ms\n"
        f"{len(counts.groups):,} groups; explained in {explained - walked:.2f} s as {suspect and suspect.key}\n"
        f"written in {written - explained:.2f} s; {cpu:.1f} s of CPU in all;"
        f" peak {used.ru_maxrss // 1024:,} MiB, {before.ru_maxrss // 1024:,} MiB before the walk\n"
    )


if __name__ == "__main__":
    main()
