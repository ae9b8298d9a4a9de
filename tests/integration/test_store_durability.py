"""What was acknowledged survives kill -9 of us and of the database server; other writers get through."""

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.databases import KINDS, check_in, endpoint_row, new_database
from tests.support.postgres import Cluster

from keyfast.core.check_in import Accepted
from keyfast.core.endpoint import EndpointState
from keyfast.errors import NotReadyError
from keyfast.store import endpoints
from keyfast.store.database import Database
from keyfast.store.sqlite_batch import SqliteBatches
from keyfast.store.writer import GroupCommit, open_writer

ROOT = Path(__file__).resolve().parents[2]
ACKNOWLEDGED = 400


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path):
    return new_database("sqlite", tmp_path)


@pytest.fixture
def own_cluster():
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def own_cluster_url(own_cluster):
    return own_cluster.create_database()


def _start(module: str, *args: str, **options: object) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = [sys.executable, "-m", f"tests.support.{module}", *args]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, **options)


async def _register(url: str, count: int) -> list[str]:
    database = await Database.open(url)
    rows = [endpoint_row() for _ in range(count)]
    async with database.write() as conn:
        for row in rows:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
    await database.close()
    return [row.id for row in rows]


async def _seqs(url: str, endpoint_ids: list[str]) -> dict[str, tuple[int, bytes]]:
    database = await Database.open(url)
    found = {}
    async with database.read() as conn:
        for endpoint_id in endpoint_ids:
            record = await endpoints.get(conn, endpoint_id)
            newest = await endpoints.inventory(conn, endpoint_id)
            found[endpoint_id] = (record.presence.seq, newest.document if newest else b"")
    await database.close()
    return found


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(url):
    endpoint_ids = asyncio.run(_register(url, 20))
    process = _start("acknowledged", url, *endpoint_ids)
    lines = [process.stdout.readline() for _ in range(ACKNOWLEDGED)]
    process.kill()
    with process.stdout:
        lines += process.stdout.readlines()
    process.wait()
    told = {}
    for endpoint_id, seq in (line.split() for line in lines if line.endswith("\n")):
        told[endpoint_id] = int(seq)
    assert len(told) == len(endpoint_ids)
    found = asyncio.run(_seqs(url, endpoint_ids))
    for endpoint_id, seq in told.items():
        kept, document = found[endpoint_id]
        assert kept >= seq
        assert document == str(kept).encode()  # presence and inventory are of the same commit


async def test_nothing_acknowledged_is_lost_when_the_database_server_is_killed(own_cluster, own_cluster_url):
    endpoint_ids = await _register(own_cluster_url, 20)
    writer = await open_writer(own_cluster_url, gap_s=0)
    told, failures, many = dict.fromkeys(endpoint_ids, 0), [], asyncio.Event()

    async def report(endpoint_id):
        for seq in range(1, 100_000):
            try:
                verdict = await writer.submit(check_in(endpoint_id, seq, inventory=str(seq).encode()))
            except NotReadyError as fault:
                failures.append(fault)
                return
            assert isinstance(verdict, Accepted)
            told[endpoint_id] = seq
            if sum(told.values()) >= ACKNOWLEDGED:
                many.set()

    tasks = [asyncio.create_task(report(endpoint_id)) for endpoint_id in endpoint_ids]
    await many.wait()
    await asyncio.to_thread(own_cluster.kill)
    await asyncio.gather(*tasks)
    assert len(failures) == len(endpoint_ids)
    with pytest.raises(NotReadyError):
        await writer.submit(check_in(endpoint_ids[0], 200_000))
    await asyncio.to_thread(own_cluster.start)
    found = await _seqs(own_cluster_url, endpoint_ids)
    assert {each: found[each][0] >= seq for each, seq in told.items()} == dict.fromkeys(endpoint_ids, True)
    assert isinstance(await writer.submit(check_in(endpoint_ids[0], 300_000)), Accepted)
    await writer.close()


@contextlib.asynccontextmanager
async def _full_load(url: str, endpoint_ids: list[str]):
    writer = await open_writer(url)
    stop, counted = asyncio.Event(), [0]

    async def report(endpoint_id):
        seq = 0
        while not stop.is_set():
            seq += 1
            assert isinstance(await writer.submit(check_in(endpoint_id, seq)), Accepted)
            counted[0] += 1

    tasks = [asyncio.create_task(report(endpoint_id)) for endpoint_id in endpoint_ids]
    yield counted
    stop.set()
    await asyncio.gather(*tasks)
    await writer.close()


async def test_another_process_writes_under_full_load(sqlite_url):
    endpoint_ids = await _register(sqlite_url, 200)
    async with _full_load(sqlite_url, endpoint_ids) as counted:
        process = _start("second_process", sqlite_url, "write", "30")
        out, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    assert float(out) < 3.0
    assert counted[0] > 200


async def test_a_held_lock_delays_the_batch_and_not_the_loop(sqlite_url):
    (endpoint_id,) = await _register(sqlite_url, 1)
    writer = await open_writer(sqlite_url)
    process = _start("second_process", sqlite_url, "hold", stdin=subprocess.PIPE)
    assert await asyncio.to_thread(process.stdout.readline) == "held\n"
    submitted = asyncio.create_task(writer.submit(check_in(endpoint_id, 1)))
    loop, longest = asyncio.get_running_loop(), 0.0
    for _ in range(50):
        begun = loop.time()
        await asyncio.sleep(0.005)
        longest = max(longest, loop.time() - begun)
    assert not submitted.done()
    assert longest < 0.2
    await asyncio.to_thread(process.communicate, "")
    assert isinstance(await submitted, Accepted)
    await writer.close()


async def test_a_lock_held_too_long_is_not_ready(sqlite_url):
    (endpoint_id,) = await _register(sqlite_url, 1)
    writer = GroupCommit(SqliteBatches(Path(sqlite_url.removeprefix("sqlite:///")), busy_s=0.1))
    process = _start("second_process", sqlite_url, "hold", stdin=subprocess.PIPE)
    assert await asyncio.to_thread(process.stdout.readline) == "held\n"
    with pytest.raises(NotReadyError):
        await writer.submit(check_in(endpoint_id, 1))
    await asyncio.to_thread(process.communicate, "")
    assert isinstance(await writer.submit(check_in(endpoint_id, 1)), Accepted)
    await writer.close()


def test_a_full_disk_fails_check_ins_until_there_is_room(sqlite_url):
    (endpoint_id,) = asyncio.run(_register(sqlite_url, 1))
    process = _start("full_disk", sqlite_url, endpoint_id)
    out, _ = process.communicate(timeout=60)
    assert out.strip() == "True [True, True] True"
    assert asyncio.run(_seqs(sqlite_url, [endpoint_id]))[endpoint_id][0] == 4
