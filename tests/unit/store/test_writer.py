"""The writer on both databases: what is acknowledged is on record, what is refused is not."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.support.databases import NOW, check_in, digest, endpoint_row, some_id

from keyfast.core.check_in import Accepted, Fork
from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.protection import Disks
from keyfast.core.refusal import RefusalClass
from keyfast.core.search import Search
from keyfast.store import batch, changes, commands, endpoints, events
from keyfast.store.commands import CommandRow
from keyfast.store.writer import open_writer
from keyfast.wire.messages import CommandResult


@pytest.fixture
async def own(database):
    row = endpoint_row(name="old-name")
    async with database.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
    return row.id


async def _record(database, endpoint_id):
    async with database.read() as conn:
        return await endpoints.get(conn, endpoint_id)


async def test_every_field_is_on_record_once_accepted(database, writer, own):
    told = {"hostname": "new-name", "disks": "exposed", "user": "CORP\\Al\0ice"}
    sent = check_in(own, 7, inventory=b"{}", **told, agent_version="0.\0", last_refusal="replayed")
    assert isinstance(await writer.submit(sent), Accepted)
    record = await _record(database, own)
    for name in (
        "seen_at",
        "next_due",
        "verified_at",
        "boot_id",
        "instance",
        "address",
        "profile_seq",
        "failures",
    ):
        assert getattr(record.presence, name) == getattr(sent, name), name
    for name in ("credential_generation", "policy_version", "clock_offset", "last_refusal"):
        assert getattr(record.presence, name) == getattr(sent, name), name
    assert record.presence.agent_version == "0.\ufffd"
    assert (record.presence.seq, record.presence.head) == (7, digest("body 7"))
    assert (record.endpoint.name, record.endpoint.disks) == ("new-name", Disks.EXPOSED)
    assert (record.endpoint.user_name, record.endpoint.user_key) == ("CORP\\Al\ufffdice", "al\ufffdice")
    assert (record.presence.heard_hours, record.presence.heard_days) == (1, 1)


async def test_every_hour_and_day_of_a_check_in_is_marked(database, writer, own):
    for seq, seen_at in enumerate([NOW, NOW + 3600, NOW + 3600 * 3, NOW + 86_400 * 2 + 3600 * 3], 1):
        await writer.submit(check_in(own, seq, seen_at=seen_at))
    presence = (await _record(database, own)).presence
    hours, days = presence.heard_hours, presence.heard_days
    assert (hours & 1, hours >> 48) == (1, 0b1101)
    assert days == 0b101


async def test_two_of_an_hour_in_one_batch_are_one_mark(database, writer, own):
    await asyncio.gather(*(writer.submit(check_in(own, seq, seen_at=NOW + 3600 * seq)) for seq in (1, 2, 4)))
    assert (await _record(database, own)).presence.heard_hours == 0b1101


async def test_a_refusal_writes_nothing(database, writer, own):
    await writer.submit(check_in(own, 5))
    before = await _record(database, own)
    replayed = await writer.submit(check_in(own, 5, seen_at=NOW + 99, inventory=b"[]"))
    unknown = await writer.submit(check_in(some_id(), 1))
    assert [replayed.kind, unknown.kind] == [RefusalClass.REPLAYED, RefusalClass.UNKNOWN_DEVICE]
    assert replayed.extra == {"expected_seq": 6}
    assert await _record(database, own) == before
    async with database.read() as conn:
        assert await endpoints.inventory(conn, own) is None


async def test_one_endpoint_twice_in_a_batch_is_judged_in_order(writer, own):
    verdicts = await asyncio.gather(*(writer.submit(check_in(own, seq)) for seq in (1, 1, 3, 2)))
    assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True, False, True, False]


async def test_an_inventory_is_kept_when_it_is_new(database, writer, own):
    for seq, inventory in enumerate([b"a", b"a", b"b", b"a"], 1):
        await writer.submit(check_in(own, seq, inventory=inventory, seen_at=NOW))
    same = await writer.submit(check_in(own, 5, known=digest("a")))
    other = await writer.submit(check_in(own, 6, known=digest("c")))
    assert (same.send_inventory, other.send_inventory) == (False, True)
    async with database.read() as conn:
        history = await endpoints.inventory_history(conn, own, limit=9)
        newest = await endpoints.inventory(conn, own)
        assert await endpoints.inventories(conn, [own, some_id()]) == {own: b"a"}
    assert [row.document for row in history] == [b"a", b"b", b"a"]
    assert [row.recorded_at for row in history] == [NOW * 1000 + 2, NOW * 1000 + 1, NOW * 1000]
    assert newest == history[0]


async def test_the_history_of_inventories_is_bounded(database, writer, own):
    changes = [check_in(own, seq, inventory=str(seq).encode()) for seq in range(1, batch.KEEP_CHANGES + 6)]
    await asyncio.gather(*map(writer.submit, changes))
    async with database.read() as conn:
        history = await endpoints.inventory_history(conn, own, limit=1000)
    assert [row.document for row in history] == [one.inventory for one in reversed(changes)][: batch.KEEP_CHANGES]


async def test_a_fork_is_recorded_with_both_sides(database, writer, own):
    await writer.submit(check_in(own, 1, address="192.0.2.1", instance=(one := some_id())))
    await writer.submit(check_in(own, 2, grant=2, address="192.0.2.2", instance=(two := some_id()), hostname="b"))
    async with database.read() as conn:
        fork = await endpoints.fork(conn, own)
    assert (fork.kind, fork.count) == (Fork.ROLLED_BACK, 1)
    assert (fork.displaced["instance"], fork.displaced["address"], fork.displaced["hostname"]) == (
        one,
        "192.0.2.1",
        "old-name",
    )
    assert (fork.arrived["instance"], fork.arrived["hostname"], fork.arrived["seen_at"]) == (
        two,
        "b",
        NOW + 2,
    )
    # The branch that was displaced speaks again, in one batch with the other: both live.
    verdicts = await asyncio.gather(
        writer.submit(check_in(own, 3, instance=two)),
        writer.submit(check_in(own, 4, acked=digest("body 1"), instance=one)),
    )
    assert verdicts[1].fork is Fork.CLONE
    async with database.read() as conn:
        fork = await endpoints.fork(conn, own)
        told = [row.kind for row in await events.list_page(conn, endpoint_id=own, before=None, limit=9)]
        suspects = await endpoints.list_page(conn, limit=9, wanted=Search(state=EndpointState.CLONE_SUSPECT))
    assert (fork.kind, fork.count, fork.first_at, fork.last_at) == (Fork.CLONE, 2, NOW + 2, NOW + 4)
    assert (fork.displaced["instance"], fork.arrived["instance"]) == (two, one)
    assert told == ["endpoint_clone", "endpoint_rolled_back"]
    assert [record.endpoint.id for record in suspects] == [own]
    assert isinstance(await writer.submit(check_in(own, 5)), Accepted)


async def test_a_farewell_is_on_record_with_its_event_and_so_is_a_return(database, writer, own):
    def farewell(seq):
        sent = check_in(own, seq, address="192.0.2.1")
        return replace(sent, report=replace(sent.report, farewell=True))

    await writer.submit(farewell(1))
    assert (await _record(database, own)).presence.state is EndpointState.RETIRED
    await asyncio.gather(writer.submit(farewell(2)), writer.submit(check_in(own, 3)))  # one batch
    assert (await _record(database, own)).presence.state is EndpointState.ACTIVE
    async with database.read() as conn:
        told = [
            (row.kind, row.detail["address"])
            for row in await events.list_page(conn, endpoint_id=own, before=None, limit=9)
        ]
    assert [kind for kind, _ in told] == ["endpoint_returned", "endpoint_retired"]
    assert told[1][1] == "192.0.2.1"


async def test_no_rotation_waits_for_whoever_said_farewell(database, writer, own):
    """What it was told already and what belongs to no rotation stays as it is."""
    states = [CommandState.PLANNED, CommandState.OFFERED, CommandState.VERIFIED, CommandState.QUEUED]
    async with database.write() as conn:
        for seq, state in enumerate(states, 1):
            rotation = None if state is CommandState.QUEUED else some_id()
            row = CommandRow(own, seq, some_id(), str(seq), "", state, NOW, NOW + 9, NOW, "", rotation, 1)
            await changes.add(conn, row)
        await commands.recount(conn, own)
    sent = check_in(own, 1)
    verdict = await writer.submit(replace(sent, report=replace(sent.report, farewell=True)))
    async with database.read() as conn:
        rows = await commands.list_page(conn, own, limit=9)
    assert [(row.state, row.detail) for row in reversed(rows)] == [
        (CommandState.WAIVED, batch.REMOVED),
        (CommandState.WAIVED, batch.REMOVED),
        (CommandState.VERIFIED, ""),
        (CommandState.QUEUED, ""),
    ]
    assert verdict.standing.commands == 1


async def test_results_of_commands_are_recorded(database, writer, own):
    ids = [some_id(), some_id(), some_id()]
    async with database.write() as conn:
        for command_id in ids:
            seq = await commands.next_seq(conn, own)
            row = CommandRow(own, seq, command_id, command_id, "jws", CommandState.QUEUED, NOW, NOW + 9, NOW)
            await commands.queue(conn, row)
    assert (await writer.submit(check_in(own, 1))).standing.commands == 3
    early = (CommandResult(ids[0], "applied"),)  # never offered: an endpoint cannot have it
    assert (await writer.submit(check_in(own, 2, results=early))).standing.commands == 3
    async with database.write() as conn:
        await commands.offer(conn, own, now=NOW, limit=2)
    results = (CommandResult(ids[0], "applied", "done\0"), CommandResult(some_id(), "failed"))
    assert (await writer.submit(check_in(own, 3, results=results))).standing.commands == 2
    late = (CommandResult(ids[0], "received"), CommandResult(ids[1], "received"))
    assert (await writer.submit(check_in(own, 4, results=late))).standing.commands == 1
    async with database.read() as conn:
        rows = await commands.list_page(conn, own, limit=9)
    assert [(row.id, row.state, row.detail) for row in rows] == [
        (ids[2], CommandState.QUEUED, ""),
        (ids[1], CommandState.RECEIVED, ""),
        (ids[0], CommandState.APPLIED, "done\ufffd"),
    ]


async def test_a_living_clone_is_news_once_and_counted_ever_after(database, writer, own):
    await writer.submit(check_in(own, 1))
    await writer.submit(check_in(own, 2, grant=2))
    for seq in range(3, 8):  # each of two copies names the head that the other one displaced
        await writer.submit(check_in(own, seq, grant=seq, acked=digest(f"body {seq - 2}")))
    async with database.read() as conn:
        fork = await endpoints.fork(conn, own)
        kinds = [row.kind for row in await events.list_page(conn, endpoint_id=own, before=None, limit=20)]
    assert (fork.kind, fork.count) == ("clone", 6)
    assert kinds == ["endpoint_clone", "endpoint_rolled_back"]


async def test_an_administrators_decision_counts_from_the_next_batch(database, writer, own):
    await writer.submit(check_in(own, 1))
    async with database.write() as conn:
        await endpoints.revoke_tokens(conn, own, NOW + 1)
    assert (await writer.submit(check_in(own, 2))).kind is RefusalClass.TOKEN_EXPIRED
    async with database.write() as conn:
        await endpoints.set_state(conn, own, EndpointState.ACTIVE, EndpointState.REVOKED)
    assert (await writer.submit(check_in(own, 3, token_issued_at=NOW + 9))).kind is RefusalClass.REVOKED


async def test_one_value_out_of_range_fails_its_sender_alone(database, writer, own):
    bad = replace(check_in(own, 2), clock_offset=2**70)
    good, failed = await asyncio.gather(writer.submit(check_in(own, 1)), writer.submit(bad), return_exceptions=True)
    assert isinstance(good, Accepted)
    assert isinstance(failed, Exception)
    assert (await _record(database, own)).presence.seq == 1
    assert isinstance(await writer.submit(check_in(own, 3)), Accepted)


async def test_two_writers_on_one_database_accept_each_number_once(url, database, writer, own):
    """Two servers on one PostgreSQL; on SQLite the lock serves as well."""
    rows = [endpoint_row() for _ in range(20)]
    async with database.write() as conn:
        for row in rows:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
    second = await open_writer(url, gap_s=0)
    sent = [check_in(row.id, seq) for seq in range(1, 9) for row in rows]
    verdicts = await asyncio.gather(*(one.submit(each) for each in sent for one in (writer, second)))
    await second.close()
    accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
    # Two writers may overtake each other, so that a number is skipped, but none is accepted twice.
    pairs = list(zip([each.endpoint_id for each in sent for _ in range(2)], verdicts, strict=True))
    numbers = [(endpoint_id, one.standing.seq) for endpoint_id, one in pairs if isinstance(one, Accepted)]
    assert len(numbers) == len(set(numbers)) == len(accepted)
    for row in rows:
        assert (await _record(database, row.id)).presence.seq == 8
