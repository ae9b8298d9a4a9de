"""Changes are made as they are offered: for now, under a number above all that the endpoint has seen."""

import uuid
from dataclasses import replace

import msgspec
import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import KEY, answered, recovered
from tests.support.fake_windows import basic

from keyfast.core.access import Access
from keyfast.core.command import CommandState
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.rotation_evidence import BACK
from keyfast.core.rotation_state import RotationState
from keyfast.services.command import CommandService
from keyfast.store import accounts, changes, commands, rotations, tables
from keyfast.store.commands import CommandRow
from keyfast.store.rotations import RotationRow
from keyfast.trust.roles import COMMAND_TYP
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE
from keyfast.wire.messages import Command, CommandResult

NEW = "New-Passw0rd"
ROTATION = "7d1219c7-c4c5-404a-aa1f-6d2a48adfda4"


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


async def plan(desk, *, state=CommandState.QUEUED, rotation=ROTATION, action=CHANGE_WEB_ACCESS_SERVER):
    """A row as a rotation makes it: without a statement."""
    now = int(desk.site.clock())
    async with desk.site.database.write() as conn:
        seq = await commands.next_seq(conn, desk.id)
        row = CommandRow(desk.id, seq, str(uuid.uuid4()), action, "", state, now, 0, now, "", rotation, 1)
        await changes.add(conn, row)
        await commands.recount(conn, desk.id)
    return row.id


def target(desk, generation=1):
    profile = desk.site.live.current.profile(Mode.WINDOWS)
    desk.targets.wanted = Access(Mode.WINDOWS, profile.seq, KEY, generation, ROTATION)


async def sent(desk, **changes_):
    return answered(await desk.check_in(**changes_)).commands


async def release(desk, command, state=CommandState.QUEUED):
    async with desk.site.database.write() as conn:
        await conn.execute(tables.command.update().where(tables.command.c.id == command).values(state=state.value))
        await commands.recount(conn, desk.id)


async def test_a_change_of_a_rotation_is_made_for_its_endpoint_when_it_checks_in(enrolled):
    target(enrolled)
    planned = await plan(enrolled)
    (statement,) = await sent(enrolled)
    change, account = enrolled.opened(statement)
    assert (change.id, change.rotation, change.seq, account.generation) == (planned, ROTATION, 1, 1)
    (row,) = await enrolled.rows()
    assert (row.state, row.statement, row.expires_at) == (CommandState.OFFERED, statement, change.expires_at)
    assert (row.rotation_id, row.wave) == (ROTATION, 1)
    assert await sent(enrolled) == (statement,)
    assert await sent(enrolled, results=(CommandResult(planned, "received"),)) == ()
    (row,) = await enrolled.rows()
    assert (row.state, row.detail) == (CommandState.RECEIVED, f"windows, access profile 2, {KEY} generation 1")


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("received", "applied"),
        ("proven", "applied"),
        ("applied", "verified"),
        ("applied", "reverted"),
        ("proven", "reverted"),
        ("received", "failed"),
    ],
)
async def test_what_an_endpoint_tells_of_a_change_goes_on_record(enrolled, before, told):
    target(enrolled)
    planned = await plan(enrolled)
    await release(enrolled, planned, CommandState(before))
    await sent(enrolled, results=(CommandResult(planned, told, "why"),))
    (row,) = await enrolled.rows()
    assert (row.state, row.detail) == (told, "why")


async def test_a_change_is_numbered_above_commands_that_came_between(enrolled):
    target(enrolled)
    planned = await plan(enrolled, state=CommandState.PLANNED)
    service = CommandService(enrolled.site.live, enrolled.site.database, enrolled.site.clock)
    await service.check_in_now(enrolled.id, 0, "admin")
    await release(enrolled, planned)
    first, second = await sent(enrolled)
    keyset = enrolled.site.live.current.keyset
    assert keyset.verify(first, COMMAND_TYP, Command).seq == 2
    assert enrolled.opened(second)[0].seq == 3


async def test_what_is_released_again_is_made_anew_with_a_new_number(enrolled):
    target(enrolled)
    planned = await plan(enrolled)
    first, _ = enrolled.opened((await sent(enrolled))[0])
    await release(enrolled, planned)
    second, _ = enrolled.opened((await sent(enrolled))[0])
    assert (second.id, second.seq) == (first.id, first.seq + 1)


async def test_a_change_says_what_is_right_now(enrolled):
    target(enrolled)
    await plan(enrolled)
    await sent(enrolled)
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    target(enrolled, generation=2)
    (statement,) = await sent(enrolled)
    change, account = enrolled.opened(statement)
    assert (change.seq, account.password) == (2, NEW)


async def test_a_change_expires_on_the_endpoint_but_not_here(enrolled):
    target(enrolled)
    planned = await plan(enrolled)
    first, _ = enrolled.opened((await sent(enrolled))[0])
    enrolled.site.clock.now += 8 * 86400
    enrolled.nonce = enrolled.fresh()
    second, _ = enrolled.opened((await sent(enrolled))[0])
    assert (second.id, second.seq, second.expires_at > first.expires_at) == (planned, 2, True)


@pytest.mark.parametrize("other", [None, "8d1219c7-c4c5-404a-aa1f-6d2a48adfda4"])
async def test_a_change_of_a_rotation_that_gives_nothing_out_now_waits(enrolled, other):
    if other:
        target(enrolled)
        enrolled.targets.wanted = msgspec.structs.replace(enrolled.targets.wanted, rotation=other)
    await plan(enrolled)
    assert await sent(enrolled) == ()
    assert [row.state for row in await enrolled.rows()] == [CommandState.QUEUED]


async def test_a_change_that_cannot_be_made_holds_up_no_other_command(enrolled):
    target(enrolled)
    await plan(enrolled)
    async with enrolled.site.database.write() as conn:
        (row,) = await accounts.generations(conn)
        gone = replace(row, state=GenerationState.DESTROYED, password_sealed="")
        await accounts.set_generation(conn, row, gone)
    service = CommandService(enrolled.site.live, enrolled.site.database, enrolled.site.clock)
    await service.check_in_now(enrolled.id, 0, "admin")
    async with enrolled.site.database.write() as conn:
        made = await enrolled.changes.offer(conn, enrolled.id, now=int(enrolled.site.clock()), limit=9)
    assert len(made) == 2  # what is in memory is two seconds old at most
    await release(enrolled, (await enrolled.rows())[0].id)
    await enrolled.site.live.refresh()
    enrolled.targets.wanted = msgspec.structs.replace(enrolled.targets.wanted, generation=1)
    async with enrolled.site.database.write() as conn:
        made = await enrolled.changes.offer(conn, enrolled.id, now=int(enrolled.site.clock()), limit=9)
    assert len(made) == 1


async def test_a_queued_change_of_no_rotation_gives_what_is_in_force(enrolled):
    planned = await plan(enrolled, rotation=None)
    change, account = enrolled.opened((await sent(enrolled))[0])
    assert (change.id, change.rotation, account.generation) == (planned, "", 1)
    async with enrolled.site.database.write() as conn:
        (row,) = await accounts.generations(conn)
        await accounts.set_generation(conn, row, replace(row, state=GenerationState.REFUSED))
    await enrolled.site.live.refresh()
    async with enrolled.site.database.write() as conn:
        assert await enrolled.changes.offer(conn, enrolled.id, now=int(enrolled.site.clock()), limit=9) == ()


async def test_an_erase_is_signed_when_it_is_offered_too(enrolled):
    planned = await plan(enrolled, action=ERASE)
    (statement,) = await sent(enrolled)
    change, account = enrolled.opened(statement)
    assert (change.id, change.action, change.profile, account) == (planned, ERASE, "", None)
    assert await sent(enrolled) == (statement,)


async def test_recovery_takes_the_row_of_the_rotation(enrolled):
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    target(enrolled, generation=2)
    planned = await plan(enrolled, state=CommandState.PLANNED)
    change, account = enrolled.opened(recovered(await enrolled.recover()).change)
    assert (change.id, change.rotation, account.generation) == (planned, ROTATION, 2)
    assert [row.state for row in await enrolled.rows()] == [CommandState.OFFERED]


async def on_record(desk, *, restart_proof):
    document = {"plan": {"kind": "recovery", "waves": {"restart_proof": restart_proof}}, "state": "emergency"}
    row = RotationRow(ROTATION, "recovery", "", RotationState.EMERGENCY, 1, "admin", 1, document)
    async with desk.site.database.write() as conn:
        await rotations.create(conn, row)


async def recovered_by_itself(desk):
    """The endpoint lost its password, and fetched the new one before any rotation gave it out."""
    await desk.site.change(NEW)
    await desk.site.record(NEW)
    change, account = desk.opened(recovered(await desk.recover()).change)
    desk.generation = account.generation
    return change


@pytest.mark.parametrize(
    ("restart_proof", "told", "state"),
    [
        (False, ("applied",), CommandState.APPLIED),
        (True, ("applied",), CommandState.OFFERED),
        (True, ("applied", "verified"), CommandState.VERIFIED),
        (False, ("received",), CommandState.OFFERED),
    ],
)
async def test_who_uses_already_what_a_rotation_brings_is_not_given_it_again(enrolled, restart_proof, told, state):
    change = await recovered_by_itself(enrolled)
    await on_record(enrolled, restart_proof=restart_proof)
    target(enrolled, generation=2)
    planned = await plan(enrolled)
    results = tuple(CommandResult(change.id, state) for state in told)
    given = await sent(enrolled, results=results, profile_seq=2, authorization=basic(KEY, NEW))
    (row,) = [row for row in await enrolled.rows() if row.id == planned]
    assert row.state is state
    assert len(given) == (state is CommandState.OFFERED)
    assert (await enrolled.record()).presence.commands == len(given)


@pytest.mark.parametrize("wave", [BACK, 1])
async def test_the_way_back_is_always_told(enrolled, wave):
    """Whoever fetched the way there and has not gone it yet must hear that it is off."""
    change = await recovered_by_itself(enrolled)
    await on_record(enrolled, restart_proof=False)
    target(enrolled, generation=2)
    planned = await plan(enrolled)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.command.update().where(tables.command.c.id == planned).values(wave=wave))
    results = (CommandResult(change.id, "applied"),)
    given = await sent(enrolled, results=results, profile_seq=2, authorization=basic(KEY, NEW))
    assert len(given) == (wave == BACK)


async def test_a_waived_endpoint_may_come_back_and_take_it(enrolled):
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    target(enrolled, generation=2)
    planned = await plan(enrolled, state=CommandState.WAIVED)
    change, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    assert change.id == planned
    assert [row.state for row in await enrolled.rows()] == [CommandState.WAIVED]


async def test_who_lost_what_a_rotation_brought_gets_a_change_of_its_own(enrolled):
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    target(enrolled, generation=2)
    planned = await plan(enrolled, state=CommandState.VERIFIED)
    change, account = enrolled.opened(recovered(await enrolled.recover()).change)
    assert change.id != planned
    assert account.generation == 2
    assert [row.state for row in await enrolled.rows()] == [CommandState.OFFERED, CommandState.VERIFIED]
