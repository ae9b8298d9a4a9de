"""Rotations and their targets, on both databases."""

from dataclasses import replace

import pytest
from msgspec import json
from sqlalchemy import select, update
from tests.support.databases import NOW, endpoint_row, in_read, in_write, some_id

from keyfast.core.command import CommandState as C
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.rotation_evidence import BACK, ERASING, Count
from keyfast.core.rotation_plan import Kind, Plan
from keyfast.core.rotation_state import Facts, Rotation, RotationState
from keyfast.store import commands, endpoints, rotation_counts, rotation_targets, rotations
from keyfast.store.commands import CommandRow
from keyfast.store.rotation_targets import FAR, ZERO, Scope
from keyfast.store.rotations import RotationRow
from keyfast.store.tables import command, presence

A, B = "CORP\\a", "CORP\\b"
SCOPE = Scope("windows", "", A)
PLAN = Plan(Kind.ACCOUNT, mode="windows", source=A, target=B)


def document(**changes):
    return json.decode(json.encode(Rotation(PLAN, **changes)))


def row(rotation_id="", state=RotationState.ROLLING, at=NOW, **changes):
    facts = {"facts": Facts(profile_seq=0, generation=4, back_seq=9, back_generation=2)} | changes
    return RotationRow(rotation_id or some_id(), "account", "", state, at, "admin", at, document(state=state, **facts))


async def fleet(database, number, *, account=A, mode=Mode.WINDOWS, ring="", state=EndpointState.ACTIVE, seen_at=NOW):
    rows = [
        replace(endpoint_row(name=f"host-{account}-{place:03}"), account_key=account, mode=mode, ring=ring)
        for place in range(number)
    ]
    async with database.write() as conn:
        for made in rows:
            await endpoints.insert(conn, made, state)
        seen = {"seen_at": seen_at, "next_due": seen_at + 900}
        await conn.execute(update(presence).where(presence.c.endpoint_id.in_([made.id for made in rows])).values(seen))
    return [made.id for made in rows]


async def plan_all(database, rotation_id, cuts, *, scope=SCOPE, limit=7, before=0):
    cursor, wrapped, portions = rotation_id, False, 0
    while True:
        async with database.write() as conn:
            found = await rotation_targets.add_portion(
                conn,
                rotation_id,
                scope,
                cuts,
                before=before,
                cursor=cursor,
                wrapped=wrapped,
                limit=limit,
                now=NOW,
            )
        before, cursor, wrapped, portions = before + found.added, found.cursor, found.wrapped, portions + 1
        if found.finished:
            return before, portions


async def written(database, endpoint_id):
    async with database.read() as conn:
        return await commands.list_page(conn, endpoint_id, limit=100)


async def counted(database, rotation_id):
    async with database.read() as conn:
        found = await rotation_counts.counts(conn, rotation_id)
    return {(each.wave, each.state): each.number for each in found}


async def waiting(database, endpoint_id):
    async with database.read() as conn:
        return await conn.scalar(select(presence.c.commands).where(presence.c.endpoint_id == endpoint_id))


async def put(database, endpoint_ids, state, *, statement=""):
    chosen = update(command).where(command.c.endpoint_id.in_(list(endpoint_ids)), command.c.wave > 0)
    async with database.write() as conn:
        await conn.execute(chosen.values(state=state.value, statement=statement))


@pytest.fixture
async def planned(database):
    """A rotation with 20 endpoints in waves of 2, 6 and 12, planned in portions."""
    made = row()
    async with database.write() as conn:
        await rotations.create(conn, made)
    ids = await fleet(database, 20)
    total, portions = await plan_all(database, made.id, (2, 8, 20))
    assert (total, portions > 2) == (20, True)
    return made.id, ids


async def test_rotations_are_kept_listed_and_replaced(database):
    first, second = row(state=RotationState.DONE), row(at=NOW + 1)
    async with database.write() as conn:
        await rotations.create(conn, first)
        await rotations.create(conn, second)
        assert await rotations.get(conn, second.id, lock=True) == second
        await rotations.save(conn, replace(second, state=RotationState.DRAINING, updated_at=NOW + 9))
    async with database.read() as conn:
        newest = replace(second, state=RotationState.DRAINING, updated_at=NOW + 9)
        assert await rotations.list_page(conn, limit=1) == [newest]
        assert await rotations.under_way(conn) == [newest]
        assert await rotations.get(conn, "no id") is None
        assert await rotations.get(conn, some_id()) is None


async def test_effects_are_numbered_done_in_order_and_keep_an_ended_rotation_under_way(database):
    made = row(state=RotationState.DONE)
    async with database.write() as conn:
        await rotations.create(conn, made)
        await rotations.journal(conn, made.id, [("erase", {}), ("destroy", {"account": A})], NOW)
        await rotations.journal(conn, made.id, [], NOW)
        await rotations.journal(conn, made.id, [("recall", {})], NOW + 1)
        one = await rotations.effect(conn, made.id, 1)
        assert await rotations.effect(conn, made.id, 9) is None
        await rotations.progress(conn, one, {"cursor": ZERO}, None)
        await rotations.progress(conn, await rotations.effect(conn, made.id, 2), {}, NOW)
    async with database.read() as conn:
        assert [(e.number, e.kind, e.done_at) for e in await rotations.effects(conn, made.id)] == [
            (1, "erase", None),
            (2, "destroy", NOW),
            (3, "recall", None),
        ]
        assert [e.document for e in await rotations.effects(conn, made.id, undone=True)] == [{"cursor": ZERO}, {}]
        assert [found.id for found in await rotations.under_way(conn)] == [made.id]


async def test_targets_are_planned_once_each_in_waves_of_the_sizes_asked_for(database, planned):
    rotation_id, ids = planned
    assert await counted(database, rotation_id) == {(1, C.PLANNED): 2, (2, C.PLANNED): 6, (3, C.PLANNED): 12}
    (one,) = await written(database, ids[0])
    assert (one.seq, one.action, one.statement, one.expires_at) == (1, "ChangeWebAccessServer", "", FAR)
    assert len({row.id for each in ids for row in await written(database, each)}) == 20
    assert await waiting(database, ids[0]) == 0
    assert await plan_all(database, rotation_id, (2, 8, 20), before=20) == (20, 2)  # done again: nobody twice


async def test_the_order_differs_between_rotations_and_not_between_portions(database):
    ids = await fleet(database, 20)

    async def canary(rotation_id, limit):
        await plan_all(database, rotation_id, (3, 20), limit=limit)
        return {
            each
            for each in ids
            for found in await written(database, each)
            if (found.rotation_id, found.wave) == (rotation_id, 1)
        }

    first, last = min(ids), max(ids)
    assert await canary(first, 1) == set(sorted(ids)[1:4])
    assert await canary(last, 100) == set(sorted(ids)[:3])


async def test_only_endpoints_of_the_scope_that_check_in_are_planned_and_numbers_go_on(database):
    mine = await fleet(database, 3, ring="r")
    await fleet(database, 2, account=B)
    await fleet(database, 2, mode=Mode.OAUTH)
    await fleet(database, 1, ring="other")
    await fleet(database, 1, ring="r", state=EndpointState.REVOKED)
    async with database.write() as conn:
        await commands.queue(conn, CommandRow(mine[0], 41, some_id(), "CheckInNow", "jws", C.QUEUED, NOW, NOW + 9, NOW))
    rotation_id = some_id()
    assert (await plan_all(database, rotation_id, (3,), scope=Scope("windows", "r", A)))[0] == 3
    assert [found.seq for found in await written(database, mine[0])] == [42, 41]
    assert await in_read(database, rotation_counts.uncovered, rotation_id, Scope("windows", "", "")) == 3
    assert await in_read(database, rotation_counts.uncovered, rotation_id, Scope("windows", "r", A)) == 0
    assert await in_read(database, rotation_counts.users, A) == 6
    assert await in_read(database, rotation_counts.users, "CORP\\c") == 0


async def test_a_scope_without_endpoints_is_planned_too(database):
    rotation_id = some_id()
    assert await plan_all(database, rotation_id, ()) == (0, 2)
    await fleet(database, 1)  # it joined since it was counted
    assert await plan_all(database, rotation_id, ()) == (1, 2)
    assert await counted(database, rotation_id) == {(1, C.PLANNED): 1}


async def test_waves_are_released_in_portions_and_counted_for_the_endpoint(database, planned):
    rotation_id, ids = planned
    assert await in_write(database, rotation_targets.release, rotation_id, wave=1, limit=100, now=NOW) == 2
    assert await in_write(database, rotation_targets.release, rotation_id, wave=2, limit=4, now=NOW) == 4
    assert await in_write(database, rotation_targets.release, rotation_id, wave=2, limit=4, now=NOW) == 2
    assert await in_write(database, rotation_targets.release, rotation_id, wave=2, limit=4, now=NOW) == 0
    assert await counted(database, rotation_id) == {(1, C.QUEUED): 2, (2, C.QUEUED): 6, (3, C.PLANNED): 12}
    assert sum([await waiting(database, each) for each in ids]) == 8


async def test_a_release_supersedes_changes_that_were_not_fetched_and_nothing_else(database, planned):
    rotation_id, ids = planned
    other = row(state=RotationState.REFUSED)
    async with database.write() as conn:
        await rotations.create(conn, other)
    older, younger = rotation_id, other.id
    await in_write(database, rotation_targets.release, older, wave=3, limit=100, now=NOW)
    await plan_all(database, younger, (20,))
    async with database.write() as conn:
        await conn.execute(
            update(command)
            .where(command.c.endpoint_id == ids[0], command.c.rotation_id == older)
            .values(state="proven")
        )
        routine = CommandRow(ids[1], 9, some_id(), "CheckInNow", "jws", C.QUEUED, NOW, NOW + 9, NOW)
        await commands.queue(conn, routine)
    assert await in_write(database, rotation_targets.release, younger, wave=1, limit=100, now=NOW) == 20
    found = await counted(database, older)
    assert sum(number for (_, state), number in found.items() if state is C.SUPERSEDED) == 19
    assert [each.state for each in await written(database, ids[1])] == [C.QUEUED, C.QUEUED, C.SUPERSEDED]
    assert (await waiting(database, ids[0]), await waiting(database, ids[1])) == (1, 2)


async def test_a_recall_takes_back_what_nobody_fetched_and_a_withdrawal_ends_it(database, planned):
    rotation_id, ids = planned
    await in_write(database, rotation_targets.release, rotation_id, wave=3, limit=100, now=NOW)
    await put(database, ids[:5], C.OFFERED, statement="jws")
    await put(database, ids[5:6], C.RECEIVED, statement="jws")
    assert await in_write(database, rotation_targets.recall, rotation_id, limit=10, now=NOW) == 10
    assert await in_write(database, rotation_targets.recall, rotation_id, limit=10, now=NOW) == 4
    states = {state: 0 for _, state in await counted(database, rotation_id)}
    for (_, state), number in (await counted(database, rotation_id)).items():
        states[state] += number
    assert states == {C.PLANNED: 14, C.OFFERED: 5, C.RECEIVED: 1}
    assert (await waiting(database, ids[0]), await waiting(database, ids[19])) == (1, 0)
    assert await in_write(database, rotation_targets.withdraw, rotation_id, limit=100, now=NOW) == 19
    assert await in_write(database, rotation_targets.withdraw, rotation_id, limit=100, now=NOW) == 0
    assert await waiting(database, ids[0]) == 0


async def test_the_way_back_is_for_whoever_may_have_moved(database, planned):
    rotation_id, ids = planned
    await put(database, ids[:3], C.APPLIED, statement="jws")
    await put(database, ids[3:5], C.FAILED, statement="jws")
    await put(database, ids[5:6], C.SUPERSEDED, statement="jws")
    cursor, finished, rounds = ZERO, False, 0
    while not finished:
        cursor, finished = await in_write(
            database, rotation_targets.add_following, rotation_id, erase=False, cursor=cursor, limit=2, now=NOW
        )
        rounds += 1
    assert rounds == 3
    await in_write(database, rotation_targets.add_following, rotation_id, erase=False, cursor=ZERO, limit=9, now=NOW)
    found = await counted(database, rotation_id)
    assert found[BACK, C.PLANNED] == 4
    assert await in_write(database, rotation_targets.release, rotation_id, wave=BACK, limit=100, now=NOW) == 4
    assert [(each.wave, each.seq) for each in await written(database, ids[0])] == [
        (BACK, 2),
        ((await written(database, ids[0]))[1].wave, 1),
    ]
    assert await waiting(database, ids[0]) == 1


async def test_an_erasure_is_queued_for_whoever_is_verified(database, planned):
    rotation_id, ids = planned
    await put(database, ids[:3], C.VERIFIED, statement="jws")
    await put(database, ids[3:5], C.APPLIED, statement="jws")
    for _ in range(2):
        await in_write(database, rotation_targets.add_following, rotation_id, erase=True, cursor=ZERO, limit=9, now=NOW)
    newest, *_ = await written(database, ids[0])
    assert (newest.action, newest.wave, newest.state) == ("Erase", ERASING, C.QUEUED)
    assert (await counted(database, rotation_id))[ERASING, C.QUEUED] == 3
    assert (await waiting(database, ids[0]), await waiting(database, ids[4])) == (1, 0)


async def test_endpoints_are_waived_and_failed_ones_are_tried_again(database, planned):
    rotation_id, ids = planned
    await in_write(database, rotation_targets.release, rotation_id, wave=3, limit=100, now=NOW)
    await put(database, ids[:2], C.FAILED, statement="jws")
    await put(database, ids[2:3], C.VERIFIED, statement="jws")
    asked = [ids[0], ids[2], ids[5], some_id()]
    waived = await in_write(database, rotation_targets.waive, rotation_id, asked, detail="off", now=NOW)
    assert sorted(waived) == sorted([ids[0], ids[5]])
    assert (await waiting(database, ids[5]), (await written(database, ids[5]))[0].detail) == (0, "off")
    assert await in_write(database, rotation_targets.waive, rotation_id, asked, detail="off", now=NOW) == []
    assert await in_write(database, rotation_targets.retry, rotation_id, limit=100, now=NOW) == 1
    (again,) = await written(database, ids[1])
    assert (again.state, again.statement) == (C.QUEUED, "")
    assert await waiting(database, ids[1]) == 1


async def test_the_missing_are_named_what_failed_first(database, planned):
    rotation_id, ids = planned
    await put(database, ids[:18], C.VERIFIED, statement="jws")
    await put(database, ids[18:19], C.FAILED, statement="jws")
    counts = await in_read(database, rotation_counts.counts, rotation_id)
    found = await in_read(database, rotation_counts.missing, rotation_id, counts, limit=10)
    assert [(each.endpoint_id, each.state) for each in found] == [(ids[18], C.FAILED), (ids[19], C.PLANNED)]
    assert found[0].seen_at == NOW
    assert len(await in_read(database, rotation_counts.missing, rotation_id, counts, limit=1)) == 1


async def test_who_is_waited_for_and_who_fell_silent(database, planned):
    rotation_id, ids = planned
    await in_write(database, rotation_targets.release, rotation_id, wave=3, limit=100, now=NOW)
    await put(database, ids[:4], C.APPLIED, statement="jws")
    await put(database, ids[4:5], C.WAIVED, statement="jws")

    async def waits(since, *besides):
        return await in_read(
            database, rotation_counts.waited_for, rotation_id, upto=3, since=since, besides=frozenset(besides)
        )

    assert await waits(NOW, C.APPLIED, C.VERIFIED) == 15
    assert await waits(NOW, C.VERIFIED) == 19
    assert await waits(NOW + 1, C.VERIFIED) == 0
    await put(database, ids[5:8], C.OFFERED, statement="jws")
    assert await in_read(database, rotation_counts.silent, rotation_id, overdue_before=NOW + 901) == 3
    assert await in_read(database, rotation_counts.silent, rotation_id, overdue_before=NOW + 900) == 0


async def test_a_scope_is_tallied(database):
    await fleet(database, 2)
    await fleet(database, 3, seen_at=NOW - 10 * 86400)
    await fleet(database, 1, seen_at=NOW - 100 * 86400)
    await fleet(database, 4, account=B)
    found = await in_read(database, rotation_counts.tally, SCOPE, NOW)
    assert found == {
        "targets": 6,
        "seen_7d": 2,
        "seen_30d": 5,
        "seen_90d": 5,
        "offline": 4,
        "keyless": 0,
        "first": NOW - 100 * 86400,
    }
    assert (await in_read(database, rotation_counts.tally, Scope("oauth"), NOW))["targets"] == 0


async def test_endpoints_are_found_by_a_name_that_only_one_has(database):
    async with database.write() as conn:
        for name in ("a", "b", "b"):
            await endpoints.insert(conn, endpoint_row(name=name), EndpointState.ACTIVE)
    assert list(await in_read(database, rotation_counts.named, ["a", "b", "c"])) == ["a"]


async def test_counts_are_values(database):
    assert await in_read(database, rotation_counts.counts, some_id()) == ()
    assert Count(1, C.QUEUED, 2).number == 2


@pytest.mark.parametrize(
    ("state", "change", "expected"),
    [
        (RotationState.ROLLING, C.PLANNED, None),
        (RotationState.ROLLING, C.QUEUED, ("windows", 0, B, 4)),
        (RotationState.DRAINING, C.FAILED, ("windows", 0, B, 4)),
        (RotationState.REFUSED, C.WAIVED, ("windows", 0, B, 4)),
        (RotationState.DONE, C.WAIVED, ("windows", 0, B, 4)),
        (RotationState.DONE, C.VERIFIED, None),
        (RotationState.ABANDONED, C.QUEUED, None),
        (RotationState.ROLLING_BACK, C.QUEUED, None),
    ],
)
async def test_what_an_endpoint_is_to_have_by_its_newest_rotation(database, state, change, expected):
    (endpoint_id,) = await fleet(database, 1)
    assert await in_read(database, rotation_counts.target_of, endpoint_id) is None
    made = row(state=state)
    async with database.write() as conn:
        await rotations.create(conn, made)
    await plan_all(database, made.id, (1,))
    await put(database, [endpoint_id], change, statement="jws")
    found = await in_read(database, rotation_counts.target_of, endpoint_id)
    if expected is None:
        assert found is None
    else:
        assert (found.mode, found.profile_seq, found.account_key, found.generation) == expected
        assert (found.rotation_id, found.state, found.command_state, found.back) == (made.id, state, change, False)


async def test_whoever_may_have_moved_is_led_back(database):
    (endpoint_id,) = await fleet(database, 1)
    made = row(state=RotationState.ROLLING_BACK)
    async with database.write() as conn:
        await rotations.create(conn, made)
    await plan_all(database, made.id, (1,))
    await put(database, [endpoint_id], C.APPLIED, statement="jws")
    await in_write(database, rotation_targets.add_following, made.id, erase=False, cursor=ZERO, limit=9, now=NOW)
    assert await in_read(database, rotation_counts.target_of, endpoint_id) is None
    await in_write(database, rotation_targets.release, made.id, wave=BACK, limit=9, now=NOW)
    found = await in_read(database, rotation_counts.target_of, endpoint_id)
    assert (found.profile_seq, found.account_key, found.generation, found.back) == (9, A, 2, True)
