"""The roll call as a job: paced, by one node at a time, begun anew after a crash; and what it writes."""

import os
import uuid
from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import update
from tests.support.databases import KINDS, NOW, endpoint_row, new_database

from keyfast.core.endpoint import EndpointState
from keyfast.core.incident import IncidentEvent, IncidentState, happened
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.node import Accepts, Node
from keyfast.core.roll_call import EVERYBODY, Kind
from keyfast.errors import NotReadyError
from keyfast.services import roll_call as job
from keyfast.services.modes import ModeService
from keyfast.services.roll_call import RollCallService
from keyfast.services.server_evidence import ServerEvidence
from keyfast.store import endpoints, incidents, nodes, roll_calls, traffic
from keyfast.store.incidents import IncidentRow
from keyfast.store.tables import presence
from keyfast.store.traffic import Minute

KEY = "CORP\\svc-see"
INTERVAL = 900
EVERY = 300


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


def service(site, holder="one", batch=job.BATCH):
    evidence = ServerEvidence(site.live, site.settings.tls, 3600, site.clock)
    return RollCallService(site.database, site.live, evidence, holder, os.urandom, site.clock, EVERY, batch)


async def enrol(site, count, **more):
    """Endpoints that checked in just now; their ids."""
    ids = []
    for number in range(count):
        row = replace(endpoint_row(name=f"pc-{number}"), mode=Mode.WINDOWS, **more)
        async with site.database.write() as conn:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
        ids.append(row.id)
    await check_in(site, ids)
    return ids


async def check_in(site, ids):
    now = int(site.clock())
    async with site.database.write() as conn:
        for number, endpoint_id in enumerate(ids):
            seen = now - number * INTERVAL // len(ids)
            hot = {"seen_at": seen, "next_due": seen + INTERVAL}
            await conn.execute(update(presence).where(presence.c.endpoint_id == endpoint_id).values(hot))


async def move(site, ids, address):
    async with site.database.write() as conn:
        await conn.execute(update(presence).where(presence.c.endpoint_id.in_(ids)).values(address=address))


async def read(site):
    async with site.database.read() as conn:
        return await roll_calls.groups(conn), [row.incident for row in await incidents.page(conn, before="", limit=99)]


@pytest.fixture
async def fleets(site):
    """One account's endpoints and others."""
    await site.add()
    await ModeService(site.live, site.database, tuple(Mechanism), lambda: "", site.clock).open_(
        Mode.WINDOWS, "", "admin"
    )
    await site.live.refresh()
    mine = await enrol(site, 8, account_key=KEY, generation=1)
    others = await enrol(site, 8, ring="others")
    return mine, others


async def pass_time(site, calls, seconds, ids):
    """Time passes; these check in, and a roll call is made whenever it is due."""
    for _ in range(seconds // EVERY):
        site.clock.now += EVERY
        await check_in(site, ids)
        await calls.now()


async def test_an_incident_is_opened_once_grows_and_ends(site, fleets):
    mine, others = fleets
    calls = service(site)
    await pass_time(site, calls, 2 * EVERY, mine + others)
    assert (await read(site))[1] == []
    await site.change()
    await site.read()
    began = site.clock.now
    await pass_time(site, calls, 2 * INTERVAL + EVERY, others)
    groups, (found,) = await read(site)
    assert found.key == (Kind.CREDENTIAL, f"{KEY} #1")
    assert abs(found.began_at - began) <= EVERY
    assert (found.silent, found.endpoints) == (8, 8)
    assert (groups[EVERYBODY].group.silent, groups[EVERYBODY].group.explained) == (8, 8)
    (opened,) = await site.events("incident_opened")
    assert opened[1]["cause"] == "password-changed"
    await pass_time(site, calls, 2 * EVERY, mine[:3] + others)
    assert (await read(site))[1][0].state is IncidentState.RECOVERING
    await pass_time(site, calls, 2 * EVERY, mine + others)
    (found,) = (await read(site))[1]
    assert (found.state, found.silent, found.most) == (IncidentState.RESOLVED, 0, 8)
    (closed,) = await site.events("incident_closed")
    assert (closed[1]["incident"], closed[1]["state"]) == (found.id, "resolved")


async def test_two_nodes_open_it_once(site, fleets):
    mine, others = fleets
    one, other = service(site), service(site, "other")
    await pass_time(site, one, EVERY, mine + others)
    for _ in range(10):
        site.clock.now += EVERY
        await check_in(site, others)
        for calls in (one, other):
            await calls.tick()
    assert len((await read(site))[1]) == 1
    assert len(await site.events("incident_opened")) == 1


async def test_a_walk_is_paced_and_begins_anew_when_its_node_is_gone(site, fleets):
    first = service(site, batch=5)
    await first.tick()
    assert (await read(site))[0] == {}
    site.clock.now += job.LEASE_SECONDS - 1
    second = service(site, "two", 5)
    await second.tick()
    assert (await read(site))[0] == {}
    site.clock.now += 1
    await second.now()
    groups, _ = await read(site)
    assert groups[EVERYBODY].group.endpoints == 16
    counted_at = groups[EVERYBODY].counted_at
    for _ in range(5):  # the first goes on and finds that it lost its turn
        await first.tick()
    assert (await read(site))[0][EVERYBODY].counted_at == counted_at


async def test_a_walk_holds_its_turn_however_long_it_takes(site, fleets):
    first, second = service(site, batch=5), service(site, "two", 5)
    for _ in range(4):
        await first.tick()
        site.clock.now += job.LEASE_SECONDS - 20
        await second.tick()
    groups, _ = await read(site)
    assert groups[EVERYBODY].counted_at == NOW
    assert groups[EVERYBODY].group.endpoints == 16


async def test_a_store_that_is_down_costs_one_walk(site, fleets):
    calls = service(site)
    await site.database.close()
    with pytest.raises(NotReadyError):
        await calls.tick()


async def started(site, at):
    async with site.database.write() as conn:
        await nodes.tell(conn, Node("n", int(at), int(at), Accepts()))


async def test_an_outage_of_the_server_itself_is_none_of_its_endpoints(site, fleets):
    calls = service(site)
    async with site.database.write() as conn:
        await traffic.put(conn, "n", Minute(NOW // 60 * 60, 9, {}))
    site.clock.now += 4 * 3600
    await started(site, site.clock.now - 60)
    await calls.now()
    assert (await read(site))[1] == []
    # Two hours later nobody has come: it is one after all.
    site.clock.now += 2 * 3600
    await calls.now()
    (found,) = (await read(site))[1]
    assert found.key == EVERYBODY


async def test_a_restart_hides_nothing(site, fleets):
    calls = service(site)
    site.clock.now += 3 * INTERVAL
    async with site.database.write() as conn:
        await traffic.put(conn, "n", Minute(int(site.clock.now) // 60 * 60 - 120, 9, {}))
    await started(site, site.clock.now - 60)
    await calls.now()
    assert len((await read(site))[1]) == 1


async def test_a_new_cause_is_found_beside_an_incident_that_lingers(site, fleets):
    mine, others = fleets
    calls = service(site)
    everybody = [one for pair in zip(mine, others, strict=True) for one in pair]
    await pass_time(site, calls, EVERY, everybody)
    await pass_time(site, calls, 2 * INTERVAL + EVERY, [])
    (first,) = (await read(site))[1]
    assert first.key == EVERYBODY
    # All but two come back; then a ring falls silent.
    back = mine[2:] + others
    await pass_time(site, calls, INTERVAL, back)
    assert (await read(site))[1][0].state is IncidentState.RECOVERING
    await pass_time(site, calls, 3 * INTERVAL, mine[2:])
    states = {found.key: (found.state, found.silent) for found in (await read(site))[1]}
    assert states[Kind.RING, "others"] == (IncidentState.OPEN, 8)
    assert states[EVERYBODY] == (IncidentState.RECOVERING, 2)
    # It lasts as long as its own endpoints are away, and the first one does too.
    await pass_time(site, calls, 2 * EVERY, back)
    states = {found.key: found.state for found in (await read(site))[1]}
    assert states == {(Kind.RING, "others"): IncidentState.RESOLVED, EVERYBODY: IncidentState.RECOVERING}


async def test_an_incident_that_grows_again_is_no_other(site, fleets):
    mine, others = fleets
    calls = service(site)
    await pass_time(site, calls, EVERY, mine + others)
    await pass_time(site, calls, 2 * INTERVAL + EVERY, mine)
    await pass_time(site, calls, INTERVAL, mine + others[:5])
    await pass_time(site, calls, 3 * INTERVAL, mine)
    (found,) = (await read(site))[1]
    assert (found.key, found.state, found.silent) == ((Kind.RING, "others"), IncidentState.OPEN, 8)


SITE = (Kind.SITE, "198.51.100.0/24")


@pytest.fixture
async def branch(site, fleets):
    """One account's endpoints and a ring in one place, and others elsewhere."""
    mine, others = fleets
    here = await enrol(site, 8, ring="here")
    await move(site, mine + here, "198.51.100.9")
    return mine, here, others


async def test_the_first_few_name_an_incident_and_all_of_them_name_it_better(site, branch):
    mine, here, others = branch
    calls = service(site)
    await pass_time(site, calls, 2 * EVERY, mine + here + others)
    # The site is cut off; those of one account were the first to be due.
    await pass_time(site, calls, EVERY, here + others)
    await pass_time(site, calls, 2 * INTERVAL - EVERY, others)
    (found,) = (await read(site))[1]
    assert found.key == (Kind.CREDENTIAL, f"{KEY} #1")
    await pass_time(site, calls, 2 * EVERY, others)
    (better,) = (await read(site))[1]
    assert (better.id, better.key, better.silent, better.state) == (found.id, SITE, 16, IncidentState.OPEN)
    ((_, detail),) = await site.events("incident_renamed")
    assert (detail["incident"], detail["group"], detail["name"]) == (found.id, *map(str, SITE))
    # It ends like any other.
    await pass_time(site, calls, 3 * EVERY, mine + here + others)
    (ended,) = (await read(site))[1]
    assert (ended.key, ended.state) == (SITE, IncidentState.RESOLVED)


async def test_young_incidents_that_one_group_explains_become_one(site, branch):
    mine, here, others = branch
    calls = service(site)
    await pass_time(site, calls, 2 * EVERY, mine + here + others)
    await pass_time(site, calls, 2 * INTERVAL + EVERY, others)
    (found,) = (await read(site))[1]
    assert found.key == SITE
    # As if its two rings had come to light one after the other, and each had been named.
    second = str(uuid.UUID(int=1, version=4))
    for key, named, opened_at in (((Kind.RING, "here"), found.id, 0), ((Kind.RING, "default"), second, 1)):
        one = msgspec.structs.replace(found, id=named, kind=key[0], name=key[1], opened_at=found.opened_at + opened_at)
        async with site.database.write() as conn:
            await incidents.put(conn, IncidentRow(one))
    await pass_time(site, calls, EVERY, others)
    states = {one.id: (one.key, one.state) for one in (await read(site))[1]}
    assert states[found.id] == (SITE, IncidentState.OPEN)
    assert states[second] == ((Kind.RING, "default"), IncidentState.MERGED)
    ((_, detail),) = await site.events("incident_closed")
    assert (detail["state"], detail["into"]) == ("merged", found.id)


async def test_an_incident_that_was_given_up_during_a_walk_is_not_named_again(site, fleets):
    mine, others = fleets
    calls = service(site, batch=5)
    await pass_time(site, calls, EVERY, mine + others)
    await pass_time(site, calls, 2 * INTERVAL + EVERY, others)
    (found,) = (await read(site))[1]
    site.clock.now += EVERY
    await check_in(site, others)
    await calls.tick()
    async with site.database.write() as conn:
        await incidents.put(conn, IncidentRow(happened(found, IncidentEvent.GIVEN_UP, int(site.clock.now))))
    await calls.now()
    (after,) = (await read(site))[1]
    assert (after.id, after.key, after.state) == (found.id, found.key, IncidentState.GIVEN_UP)
