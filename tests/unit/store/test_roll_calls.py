"""Roll calls, incidents and traffic on record: whose turn it is, page by page, and what is kept."""

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import update
from tests.support.databases import NOW, endpoint_row

from keyfast.core.endpoint import EndpointState
from keyfast.core.incident import Incident, IncidentEvent, IncidentState, Point, happened
from keyfast.core.roll_call import EVERYBODY, Group, Kind
from keyfast.store import endpoints, incidents, roll_calls, traffic
from keyfast.store.incidents import IncidentRow
from keyfast.store.roll_calls import Counted, Turn
from keyfast.store.tables import presence
from keyfast.store.traffic import Minute

INTERVAL, LEASE = 300, 60

COVERAGE = {"protected": 7, "exposed": 1, "unknown": 2}


async def claimed(database, holder, now):
    async with database.write() as conn:
        return await roll_calls.claim(conn, Turn(holder, now), interval=INTERVAL, lease=LEASE)


async def test_one_of_two_has_the_turn(database):
    assert await claimed(database, "a", NOW)
    assert not await claimed(database, "b", NOW)
    async with database.write() as conn:
        assert await roll_calls.disks(conn) == {}
        assert await roll_calls.finish(conn, Turn("a", NOW), NOW + 9, COVERAGE)
        assert await roll_calls.disks(conn) == COVERAGE
        assert await roll_calls.last(conn) == (NOW, NOW + 9)
    assert not await claimed(database, "b", NOW + INTERVAL - 1)
    assert await claimed(database, "b", NOW + INTERVAL)


async def test_a_turn_that_nobody_goes_on_with_is_taken_and_its_counts_are_dropped(database):
    assert await claimed(database, "a", NOW)
    async with database.write() as conn:
        assert await roll_calls.go_on(conn, Turn("a", NOW), NOW + 100)
    assert not await claimed(database, "b", NOW + 99)
    assert await claimed(database, "b", NOW + 100)
    async with database.write() as conn:
        assert not await roll_calls.go_on(conn, Turn("a", NOW), NOW + 200)
        assert not await roll_calls.finish(conn, Turn("a", NOW), NOW + 200, COVERAGE)
        assert not await roll_calls.finish(conn, Turn("b", NOW), NOW + 200, COVERAGE)
        assert await roll_calls.finish(conn, Turn("b", NOW + 100), NOW + 200, COVERAGE)


async def test_nobody_ever_made_one(database):
    async with database.read() as conn:
        assert await roll_calls.last(conn) == (0, 0)
        assert await roll_calls.groups(conn) == {}
        assert await roll_calls.group(conn, EVERYBODY) is None


async def test_some_groups_are_read_without_the_others(database):
    silent = {"a": (9, 5), "b": (9, 7), "c": (20, 5), "d": (20, 5)}
    found = {(Kind.SITE, name): Counted(Group(*counts), (), NOW) for name, counts in silent.items()}
    found |= {EVERYBODY: Counted(Group(58, 22), (), NOW), (Kind.RING, "a"): Counted(Group(9, 9), (), NOW)}
    async with database.write() as conn:
        await roll_calls.put_groups(conn, found)
    async with database.read() as conn:
        assert await roll_calls.groups(conn) == found
        worst = await roll_calls.worst(conn, Kind.SITE, 3)
        assert [name for _, name in worst] == ["b", "c", "d"]
        assert worst.items() <= found.items()
        assert await roll_calls.worst(conn, Kind.MODE, 3) == {}
        asked = {EVERYBODY, (Kind.RING, "a"), (Kind.RING, "b")}
        assert await roll_calls.groups(conn, asked) == {key: found[key] for key in found if key in asked}
        assert await roll_calls.groups(conn, ()) == {}


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_everybody_who_is_expected_is_met_once(database, limit):
    states = [EndpointState.ACTIVE, EndpointState.CLONE_SUSPECT, EndpointState.RETIRED, EndpointState.REVOKED]
    for number in range(21):
        row = replace(endpoint_row(name=f"pc-{number}"), account_key="CORP\\a", generation=3, ring="lab")
        async with database.write() as conn:
            await endpoints.insert(conn, row, states[number % 4])
            hot = {"seen_at": NOW + number, "next_due": NOW + 900, "address": "192.0.2.7", "profile_seq": 2}
            await conn.execute(update(presence).where(presence.c.endpoint_id == row.id).values(hot))
    met, after = [], ""
    for _ in range(30):
        async with database.read() as conn:
            lines, after = await roll_calls.page(conn, after, limit)
        met += lines
        if not after:
            break
    assert sorted(line.name for line in met) == sorted(f"pc-{n}" for n in range(21) if n % 4 < 2)
    found = next(line for line in met if line.name == "pc-4")
    assert (found.seen_at, found.next_due, found.account, found.generation) == (NOW + 4, NOW + 900, "CORP\\a", 3)
    assert (found.mode, found.ring, found.profile_seq, found.address) == ("oauth", "lab", 2, "192.0.2.7")


async def test_groups_are_replaced_as_a_whole(database):
    group = Group(9, 4, 1, 2, 1, {6_000_000: 2}, ["pc\0-1", "é"])
    first = {EVERYBODY: Counted(group, (1, 2, 3), NOW), (Kind.RING, "lab\0"): Counted(Group(), (), NOW)}
    async with database.write() as conn:
        await roll_calls.put_groups(conn, first)
    async with database.read() as conn:
        assert await roll_calls.group(conn, EVERYBODY) == first[EVERYBODY]
        assert len(await roll_calls.groups(conn)) == 2
    second = {EVERYBODY: Counted(Group(1), (), NOW + 300)}
    async with database.write() as conn:
        await roll_calls.put_groups(conn, second)
    async with database.read() as conn:
        assert await roll_calls.groups(conn) == second


def incident(number, **more):
    made = str(uuid.UUID(int=number + 1, version=4))
    fields = {"began_at": NOW, "width_s": 300, "opened_at": NOW + number, "changed_at": NOW + number}
    counts = {"endpoints": 9, "silent": 5, "most": 5, "least": 5, "course": (Point(NOW, 0),)}
    return Incident(made, Kind.RING, "lab", IncidentState.OPEN, **fields, **counts, **more)


async def test_incidents_are_kept_paged_and_found_while_they_last(database):
    rows = [IncidentRow(incident(number)) for number in range(5)]
    ended = IncidentRow(happened(rows[2].incident, IncidentEvent.GIVEN_UP, NOW + 50))
    async with database.write() as conn:
        for row in (*rows, ended):
            await incidents.put(conn, row)
    async with database.read() as conn:
        assert await incidents.get(conn, rows[2].incident.id) == ended
        assert await incidents.not_ended(conn) == [rows[0], rows[1], rows[3], rows[4]]
        assert await incidents.ended_since(conn, NOW) == [ended]
        assert await incidents.ended_since(conn, NOW + 51) == []
        first = await incidents.page(conn, before="", limit=2)
        assert first == [rows[4], rows[3]]
        assert await incidents.page(conn, before=first[-1].incident.id, limit=9) == [ended, rows[1], rows[0]]
        assert await incidents.page(conn, before=str(uuid.uuid4()), limit=9) == []
        assert await incidents.get(conn, "no id") is None


async def test_traffic_of_all_nodes_is_added_up_replaced_and_forgotten(database):
    async with database.write() as conn:
        await traffic.put(conn, "a", Minute(NOW, 5, {"pending": 1}))
        await traffic.put(conn, "a", Minute(NOW, 7, {"pending": 2}))
        await traffic.put(conn, "b", Minute(NOW, 1, {"pending": 1, "replayed": 4}))
        await traffic.put(conn, "b", Minute(NOW + 60, 0, {"replayed": 1}))
    async with database.read() as conn:
        assert await traffic.counted(conn, NOW, NOW + 120) == [
            Minute(NOW, 8, {"pending": 3, "replayed": 4}),
            Minute(NOW + 60, 0, {"replayed": 1}),
        ]
        assert await traffic.counted(conn, NOW + 1, NOW + 60) == []
        assert await traffic.last_check_ins(conn, NOW + 600) == NOW
        assert await traffic.last_check_ins(conn, NOW) == 0
    async with database.write() as conn:
        await traffic.forget(conn, NOW + 60)
    async with database.read() as conn:
        assert [minute.at for minute in await traffic.counted(conn, 0, NOW + 600)] == [NOW + 60]
