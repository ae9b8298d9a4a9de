"""Kill a server with -9 while it is under load, and look whether anything it acknowledged is gone."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks import machine, measure
from benchmarks.fleet import endpoint_text
from benchmarks.make_requests import endpoint_and_seq
from keyfast.store import endpoints
from keyfast.store.database import Database


def kill_under_load(target: measure.Target, shape: measure.Shape, first: int, acknowledged: Path) -> list[int]:
    """Put load on ``target``, kill all its processes but the database's after two seconds.

    Returns:
        The numbers of the requests that were answered with 200.
    """
    command = measure.load_command(target, shape, first)
    command += ["--acknowledged", str(acknowledged), "--give-up", "200"]
    victims = [pid for pid, name in machine.family(target.pids[0]).items() if name != "postgres"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        time.sleep(2)
        for pid in reversed(victims):  # children first: nobody may get a chance to tidy up
            os.kill(pid, signal.SIGKILL)
        load.wait()
    return [int(line) for line in acknowledged.read_text().split()]


async def lost(url: str, acknowledged: list[int], fleet_size: int) -> int:
    """How many acknowledged check-ins the database no longer knows."""
    newest: dict[str, int] = {}
    for index in acknowledged:
        number, seq = endpoint_and_seq(index, fleet_size)
        text = endpoint_text(number)
        newest[text] = max(seq, newest.get(text, 0))
    database = await Database.open(url)
    missing = 0
    async with database.read() as conn:
        for endpoint_id, seq in newest.items():
            record = await endpoints.get(conn, endpoint_id)
            missing += record is None or record.presence.seq < seq
    await database.close()
    return missing


def lost_now(url: str, acknowledged: list[int], fleet_size: int) -> int:
    """The same, for callers without an event loop."""
    return asyncio.run(lost(url, acknowledged, fleet_size))
