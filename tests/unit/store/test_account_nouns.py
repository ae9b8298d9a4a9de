"""The nouns of Windows Authentication, one contract for both databases."""

import asyncio
from dataclasses import replace

import pytest
from tests.support.databases import NOW, endpoint_row, some_id
from tests.support.processes import free_port

from keyfast.core.endpoint import EndpointState
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.errors import ConflictError, NotReadyError
from keyfast.store import accounts, endpoints, local_accounts, modes, packages
from keyfast.store.accounts import AccountRow, BuiltRow, GenerationRow, ReadingRow
from keyfast.store.identities import Identity, open_identities
from keyfast.store.modes import ModeRow
from keyfast.store.packages import EnrolmentTokenRow, PackageRow

KEY = "CORP\\svc-see"
ROW = AccountRow(KEY, "svc-see", "CORP", NOW, "admin")
GENERATION = GenerationRow(KEY, 1, GenerationState.PROVEN, "v1.k.sealed", 2**60, 2**60, 0, NOW, "admin", NOW)


def reading(server="dc1", at=NOW, **document):
    return ReadingRow(KEY, server, at, document)


async def test_an_account_is_on_record_once(database):
    other = replace(ROW, key="CORP\\other", name="other")
    async with database.write() as conn:
        assert await accounts.add(conn, ROW)
        assert not await accounts.add(conn, replace(ROW, added_at=NOW + 1))
        assert await accounts.add(conn, other)
    async with database.read() as conn:
        assert await accounts.load(conn) == [other, ROW]
        assert await accounts.get(conn, KEY) == ROW
        assert await accounts.get(conn, "CORP\\nobody") is None


async def test_a_removed_account_leaves_only_its_history(database):
    async with database.write() as conn:
        await accounts.add(conn, ROW)
        await accounts.add_generation(conn, GENERATION)
        await accounts.save_readings(conn, [reading(a=1)], {"dc1": True})
        assert await accounts.remove(conn, KEY)
        assert not await accounts.remove(conn, KEY)
    async with database.read() as conn:
        assert await accounts.load(conn) == []
        assert await accounts.generations(conn) == []
        assert await accounts.readings(conn) == []
        assert await accounts.history(conn, KEY, limit=9) == [reading(a=1)]


async def test_a_generation_s_number_is_taken_once_and_generations_come_oldest_first(database):
    rows = [replace(GENERATION, generation=number) for number in (2, 1, 10)]
    async with database.write() as conn:
        for row in rows:
            await accounts.add_generation(conn, row)
        assert await accounts.generations(conn) == sorted(rows, key=lambda row: row.generation)
    with pytest.raises(ConflictError):
        async with database.write() as conn:
            await accounts.add_generation(conn, rows[0])


async def test_a_generation_changes_only_from_what_was_read(database):
    new = replace(GENERATION, state=GenerationState.IN_QUESTION, seen_stamp=2**60 + 1, grace_ends_at=NOW + 60)
    async with database.write() as conn:
        await accounts.add_generation(conn, GENERATION)
        await accounts.add_generation(conn, replace(GENERATION, generation=2))
        assert await accounts.set_generation(conn, GENERATION, new)
        assert not await accounts.set_generation(conn, GENERATION, new)
        assert not await accounts.set_generation(conn, replace(new, seen_stamp=1), GENERATION)
        assert await accounts.generations(conn) == [new, replace(GENERATION, generation=2)]


async def test_one_of_several_nodes_wins_the_turn_to_read(database):
    async with database.write() as conn:
        await accounts.add(conn, ROW)

    async def claim():
        async with database.write() as conn:
            return await accounts.claim(conn, KEY, now=NOW, interval=60)

    assert sorted(await asyncio.gather(*(claim() for _ in range(4)))) == [False, False, False, True]


@pytest.mark.parametrize(("passed", "asked", "due"), [(59, None, False), (60, None, True), (5, 5, True), (6, 5, True)])
async def test_the_turn_comes_when_it_is_due_or_somebody_asks(database, passed, asked, due):
    async with database.write() as conn:
        await accounts.add(conn, ROW)
        assert await accounts.claim(conn, KEY, now=NOW, interval=60)
        if asked is not None:
            await accounts.ask(conn, KEY, now=NOW + asked)
        assert await accounts.claim(conn, KEY, now=NOW + passed, interval=60) is due


async def test_a_wish_is_granted_by_a_reading_that_began_after_it(database):
    async with database.write() as conn:
        await accounts.add(conn, ROW)
        await accounts.ask(conn, KEY, now=NOW)
        claims = [await accounts.claim(conn, KEY, now=NOW + second, interval=60) for second in range(4)]
    assert claims == [True, True, False, False]


async def test_the_newest_reading_is_kept_and_what_changed_is_history(database):
    async with database.write() as conn:
        await accounts.save_readings(conn, [], {})
        await accounts.save_readings(conn, [reading(a=1), reading("dc2", a=1)], {"dc1": True, "dc2": True})
        await accounts.save_readings(conn, [reading(a=2), reading("dc2", a=1)], {"dc1": True, "dc2": False})
        await accounts.save_readings(conn, [reading(at=NOW + 1, a=2), reading("dc2", a=1)], {"dc1": False})
    async with database.read() as conn:
        assert await accounts.readings(conn) == [reading(at=NOW + 1, a=2), reading("dc2", a=1)]
        told = await accounts.history(conn, KEY, limit=2)
        assert told == [reading(a=2), reading("dc2", a=1)]
        assert len(await accounts.history(conn, KEY, limit=9)) == 3


async def test_a_domain_controller_that_is_no_longer_asked_is_forgotten(database):
    other = ReadingRow("CORP\\other", "dc2", NOW, {})
    async with database.write() as conn:
        await accounts.save_readings(conn, [reading(), reading("dc2")], {})
        await accounts.save_readings(conn, [other], {})
        await accounts.save_readings(conn, [reading()], {})
        assert await accounts.readings(conn) == [other, reading()]


async def test_the_oldest_changes_are_forgotten(database):
    async with database.write() as conn:
        for number in range(accounts.KEEP_CHANGES + 3):
            await accounts.save_readings(conn, [reading(n=number)], {"dc1": True})
    async with database.read() as conn:
        told = await accounts.history(conn, KEY, limit=accounts.KEEP_CHANGES + 9)
    assert [row.document["n"] for row in told] == list(range(accounts.KEEP_CHANGES + 2, 2, -1))


def package(at=NOW, *, account=KEY, generation=1, ring="ring", mode="windows"):
    row = PackageRow(some_id(), at, "admin", mode, ring, "auto", "f", "00", None, account, generation)
    return row, EnrolmentTokenRow(some_id(), row.id, at, at + 60, 9, 0, None)


async def test_what_was_built_with_an_account_and_who_enrolled_with_it(database):
    first, second = package(generation=1), package(NOW + 1, generation=2)
    async with database.write() as conn:
        for row, token in (first, second, package(account="CORP\\other")):
            await packages.create(conn, row, token)
        for _ in range(3):
            await packages.count_use(conn, first[1].jti, at=NOW)
        assert await accounts.built(conn, KEY) == [
            BuiltRow(second[0].id, KEY, 2, NOW + 1, 0),
            BuiltRow(first[0].id, KEY, 1, NOW, 3),
        ]
        assert await accounts.built(conn, "CORP\\nobody") == []


async def test_endpoints_are_counted_by_mode_and_ring(database):
    rows = [package(), package(ring="labs"), package(mode="oauth", account="", generation=0)]
    async with database.write() as conn:
        for uses, (row, token) in enumerate(rows, 1):
            await packages.create(conn, row, token)
            for _ in range(uses):
                await packages.count_use(conn, token.jti, at=NOW)
        counts = [("windows", "", 3), ("windows", "labs", 2), ("oauth", "", 3), ("oauth", "labs", 0)]
        for mode, ring, count in counts:
            assert await packages.enrolled(conn, mode, ring) == count


async def test_a_mode_is_opened_once_and_closed_once(database):
    everywhere, labs = ModeRow("", Mode.WINDOWS, NOW, "admin"), ModeRow("labs", Mode.OAUTH, NOW, "admin")
    async with database.write() as conn:
        before = await modes.load(conn)
        assert await modes.open_(conn, everywhere)
        assert not await modes.open_(conn, replace(everywhere, since=NOW + 1))
        assert await modes.open_(conn, labs)
    async with database.read() as conn:
        assert set(await modes.load(conn)) == {*before, everywhere, labs}
    async with database.write() as conn:
        assert await modes.close(conn, "", Mode.WINDOWS)
        assert not await modes.close(conn, "", Mode.WINDOWS)
        assert not await modes.close(conn, "labs", Mode.WINDOWS)
        assert await modes.load(conn) == [*before, labs]


async def test_oauth_is_open_in_a_new_installation(database):
    async with database.read() as conn:
        assert [(row.ring, row.mode) for row in await modes.load(conn)] == [("", Mode.OAUTH)]


async def test_an_endpoint_is_identified_by_its_current_device_key(database, url):
    built, token = package(ring="labs")
    endpoint = replace(endpoint_row(), package_id=built.id, ring="labs", account_key=KEY)
    async with database.write() as conn:
        await packages.create(conn, built, token)
        await endpoints.insert(conn, endpoint, EndpointState.ACTIVE)
    identities = open_identities(url)
    assert await identities.find(endpoint.thumbprint) == Identity(endpoint.id, "labs", KEY)
    assert await identities.find("unknown") is None
    await identities.close()
    # It connects again by itself.
    assert await identities.find(endpoint.thumbprint) == Identity(endpoint.id, "labs", KEY)
    await identities.close()


async def test_identities_of_a_database_that_is_gone_are_an_outage(tmp_path):
    port = free_port()
    for gone in (f"sqlite:///{tmp_path}/nothing.db", f"postgresql://nobody@127.0.0.1:{port}/nothing"):
        identities = open_identities(gone)
        with pytest.raises(NotReadyError):
            await identities.find("unknown")
        await identities.close()


async def test_accounts_of_the_embedded_directory(database):
    async with database.write() as conn:
        assert await local_accounts.get(conn, "svc") is None
        await local_accounts.put(conn, "svc", {"name": "svc", "verifier": "1"})
        await local_accounts.put(conn, "bob", {"name": "bob"})
        await local_accounts.put(conn, "svc", {"name": "svc", "verifier": "ü"})
        assert await local_accounts.get(conn, "svc") == {"name": "svc", "verifier": "ü"}
        assert [found["name"] for found in await local_accounts.load(conn)] == ["bob", "svc"]
