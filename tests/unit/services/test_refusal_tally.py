"""Refused logons are told at once, then once a minute; and the watch is asked to look."""

import asyncio
import uuid

import pytest
from tests.support.databases import NOW

from keyfast.core.directory import Logon
from keyfast.core.mode import Mechanism
from keyfast.core.refusal import RefusalClass
from keyfast.errors import NotReadyError
from keyfast.services.refusal_tally import AGAIN_SECONDS, CAPACITY, RefusalTally
from keyfast.store import accounts
from keyfast.store.database import Database

KEY = "CORP\\svc-see"
ADDRESS = "192.0.2.7"


@pytest.fixture
def tally(site):
    return RefusalTally(site.database, site.clock)


def refuse(tally, times=1, mechanism=Mechanism.NTLM):
    for _ in range(times):
        tally.logon_refused(KEY, mechanism, Logon.WRONG_PASSWORD, ADDRESS)


async def counts(site, kind="logon_refused"):
    return [detail["count"] for _, detail in await site.events(kind)]


async def test_nothing_refused_writes_nothing(site, tally):
    await tally.flush()
    assert await counts(site) == []


async def test_a_storm_is_one_event_at_once_and_one_a_minute(site, tally):
    refuse(tally)
    await tally.flush()
    for second in range(150):
        site.clock.now = NOW + second
        refuse(tally, 10)
        await tally.flush()
    assert await counts(site) == [1, 10 * (AGAIN_SECONDS + 1), 10 * AGAIN_SECONDS]


async def test_what_is_different_is_told_apart(site, tally):
    refuse(tally)
    refuse(tally, mechanism=Mechanism.BASIC)
    tally.account_not_allowed("CORP\\alice", Mechanism.BASIC, ADDRESS)
    await tally.flush()
    told = {(kind, detail["account"], detail["mechanism"]) for kind, detail in await site.events()}
    assert told >= {
        ("logon_refused", KEY, "ntlm"),
        ("logon_refused", KEY, "basic"),
        ("account_not_allowed", "CORP\\alice", "basic"),
    }


async def test_a_refusal_makes_the_watch_read_the_account_now(site, tally):
    await site.add()
    await site.watch.tick()
    reads = site.directory.reads
    site.clock.now += 5
    refuse(tally)
    await tally.flush()
    await site.watch.tick()
    assert site.directory.reads == reads + 1


async def test_a_stranger_s_name_makes_nobody_read_anything(site, tally):
    await site.add()
    tally.account_not_allowed(KEY, Mechanism.NTLM, ADDRESS)
    await tally.flush()
    async with site.database.read() as conn:
        row = await accounts.get(conn, KEY)
    assert row.asked_at == 0


async def test_strangers_fill_no_memory(site, tally):
    for number in range(CAPACITY + 50):
        tally.account_not_allowed(f"CORP\\{number}" + "x" * 500, Mechanism.BASIC, ADDRESS)
    await tally.flush()
    told = await site.events("account_not_allowed")
    assert len(told) == CAPACITY
    assert max(len(detail["account"]) for _, detail in told) <= 128


async def test_what_cannot_be_written_now_is_written_later(site, tmp_path):
    database = await Database.open(site.settings.database_url)
    tally = RefusalTally(database, site.clock)
    path = tmp_path / site.settings.database_url.rpartition("/")[2]
    away = path.with_name("away")
    await site.add()
    path.rename(away)
    refuse(tally, 2)
    with pytest.raises(NotReadyError):
        await tally.flush()
    refuse(tally)
    away.rename(path)
    await tally.flush()
    await database.close()
    assert await counts(site) == [3]
    async with site.database.read() as conn:
        row = await accounts.get(conn, KEY)
    assert row.asked_at > NOW - 1


async def test_refusals_during_a_write_are_not_lost(site, tally):
    async def storm():
        for number in range(200):
            tally.logon_refused(f"CORP\\{number}", Mechanism.NTLM, Logon.WRONG_PASSWORD, ADDRESS)
            await asyncio.sleep(0)

    storming = asyncio.create_task(storm())
    while not storming.done():
        await tally.flush()
        await asyncio.sleep(0)
    site.clock.now += AGAIN_SECONDS
    await tally.flush()
    assert sum(await counts(site)) == 200


class BrokenDatabase:
    def write(self):
        raise RuntimeError("a library's own fault")


async def test_following_reports_faults_and_goes_on(clock):
    tally, told = RefusalTally(BrokenDatabase(), clock), asyncio.Event()
    following = asyncio.create_task(tally.follow(lambda _: told.set()))
    refuse(tally)
    await asyncio.wait_for(told.wait(), 30)
    assert not following.done()
    following.cancel()


async def test_refused_recoveries_are_told_by_class_and_way_with_the_latest_name(site, tally):
    for number in range(3):
        tally.recovery_refused(RefusalClass.UNAUTHENTICATED, "anonymous", f"endpoint-{number}", f"192.0.2.{number}")
    tally.recovery_refused(RefusalClass.REVOKED, "current", "endpoint-9", ADDRESS)
    await tally.flush()
    first, second = [detail for _, detail in await site.events("recovery_refused")]
    assert first == {
        "class": "unauthenticated", "way": "anonymous", "count": 3, "named": "endpoint-2", "address": "192.0.2.2",
    }  # fmt: skip
    assert (second["class"], second["way"], second["count"]) == ("revoked", "current", 1)


async def test_refused_commands_are_told_once_an_endpoint_and_minute(site, tally):
    for number in range(70):
        tally.command_refused(str(uuid.UUID(int=number % 2, version=4)), f"command-{number}", "x" * 2000)
    await tally.flush()
    told = [detail for _, detail in await site.events("command_refused")]
    assert [detail["count"] for detail in told] == [35, 35]
    assert {detail["command"] for detail in told} == {"command-68", "command-69"}
    assert {len(detail["reason"]) for detail in told} == {300}
