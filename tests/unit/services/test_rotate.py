"""Rotations from end to end over a real store: each kind, each pause, each way back, and a death anywhere."""

import pytest
from sqlalchemy import update
from tests.support.rotation_site import A, B, DiedError, acts, against, rotating, started

from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.rotation_state import RotationEvent as E
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, TransitionError, UsageError
from keyfast.services.known_account import bound_to
from keyfast.services.rotation_generations import StoredGenerations
from keyfast.store import accounts, profiles, rotation_counts, rotations
from keyfast.store.tables import endpoint, installation, presence
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.messages import AccessProfile
from keyfast.wire.rotation import RotationOrder

WRITES = 19
"""Transactions that write in the life of a rotation: the process dies at each of them."""


@pytest.fixture
async def world(site):
    return await rotating(site)


async def test_a_preview_says_whom_it_touches_and_writes_nothing(world):
    order = RotationOrder("password", source=A, target=B)
    found = await world.service.preview(order)
    assert (found.targets, found.seen_7d, found.offline, found.stranded, found.recovering) == (10, 10, 0, 0, 10)
    assert (found.waves, found.sets_password, found.against) == ((1, 1, 8), True, ())
    assert await world.service.list_(10) == []
    key = await world.service.preview(RotationOrder("token_key"))
    assert (key.targets, key.waves) == (0, ())


async def test_a_password_is_rotated_from_end_to_end(world, site):
    rotation_id = await started(world)
    found = await world.until(rotation_id, "canary")
    assert acts(found) == ["set_password", "verify_account", "plan_targets", "release_wave"]
    assert site.directory.resets == 1
    _, newest = await world.generations_of(B)
    assert newest.state is GenerationState.PROVEN
    password = site.kek.open(newest.password_sealed, bound_to=bound_to(B, 2)).reveal()
    assert site.directory.accounts["svc-b"].password == password
    assert len(password) >= 40
    draining = await world.until(rotation_id, "draining")
    assert (draining.moved, draining.verified, draining.missing) == (10, 10, ())
    assert "the old access must stay unused" in against(draining, "retired")[0]
    with pytest.raises(ConflictError, match="must stay unused"):
        await world.service.act(rotation_id, E.RETIRED, "admin")
    await world.tick(seconds=30)
    await world.service.act(rotation_id, E.RETIRED, "admin")
    await world.tick()
    assert world.generations.changes == [(A, "retired")]
    await world.tick(seconds=30)
    await world.service.act(rotation_id, E.FINISHED, "admin")
    await world.tick()
    assert world.generations.changes[1:] == [(A, "destroyed")]
    done = await world.service.show(rotation_id)
    assert (done.state, done.finished) == ("done", True)
    erased = [row for row in await world.commands() if row.action == "Erase"]
    assert len(erased) == 10
    kinds = [kind for kind, _ in await site.events() if kind.startswith("rotation_")]
    assert {"rotation_planned", "rotation_started", "rotation_converged", "rotation_finished"} <= set(kinds)


async def test_no_secret_is_shown_told_or_left_in_the_journal(world, site):
    rotation_id = await started(world)
    await world.until(rotation_id, "draining")
    password = site.directory.accounts["svc-b"].password.decode()
    async with site.database.read() as conn:
        journal = await rotations.effects(conn, rotation_id)
    shown = repr((await world.service.show(rotation_id), await site.events(), journal))
    assert password not in shown
    assert "sealed" not in shown


async def test_the_password_of_an_account_in_use_is_never_set(world, site):
    await world.fleet(1, B)
    with pytest.raises(ConflictError, match="1 endpoints use"):
        await started(world)
    assert site.directory.resets == 0


async def test_an_account_that_an_earlier_rotation_keeps_is_not_touched(world, site):
    first = await started(world)
    await world.until(first, "draining")
    async with site.database.write() as conn:  # they have proven b
        await conn.execute(update(endpoint).values(account_key=B))
    await world.tick(seconds=30)
    await world.service.act(first, E.RETIRED, "admin")
    with pytest.raises(ConflictError, match=f"rotation {first} still keeps"):
        await started(world, source=B, target=A)


async def test_only_one_rotation_touches_the_same_endpoints(world):
    first = await started(world)
    with pytest.raises(ConflictError, match=f"rotation {first} is under way"):
        await started(world, "account")


async def test_without_the_right_the_administrator_is_told_and_may_do_it(world, site):
    site.directory.denied = True
    rotation_id = await started(world)
    await world.tick()
    found = await world.service.show(rotation_id)
    trouble = found.acts[0].trouble
    assert "set a new password of CORP\\svc-b in the directory" in trouble
    assert trouble in against(found, "trusted")
    site.directory.set_password("svc-b", "By-Hand-1")
    await world.accounts.add("svc-b", Secret(b"By-Hand-1"), (), "admin")
    await world.tick(seconds=60)
    assert (await world.until(rotation_id, "canary")).state == "canary"


async def test_a_lagging_domain_controller_holds_it_up(world, site):
    site.directory.servers.append("dc2")
    site.directory.lag("dc2", "svc-b")
    rotation_id = await started(world)
    await world.tick(5, seconds=30)
    found = await world.service.show(rotation_id)
    assert found.state == "prepared"
    assert "dc2 has not got the newest password" in found.acts[0].trouble
    site.directory.lagging.clear()
    await world.until(rotation_id, "draining", seconds=30)
    assert len(await world.generations_of(B)) == 2  # the same password all the time


@pytest.mark.parametrize(
    ("after", "reason"),
    [(C.FAILED, "changes failed"), (C.REVERTED, "went back by themselves")],
)
async def test_a_bad_rotation_pauses_and_comes_back(world, after, reason):
    rotation_id = await started(world)
    await world.until(rotation_id, "rolling")
    await world.tick()
    await world.move(C.QUEUED, after)
    await world.tick()
    found = await world.service.show(rotation_id)
    assert reason in found.paused
    await world.tick(3)
    assert C.QUEUED not in {row.state for row in await world.commands()}
    assert found.missing[0].state == after.value
    await world.service.act(rotation_id, E.RESUMED, "admin")
    assert (await world.until(rotation_id, "draining")).moved == 10


async def test_a_password_that_is_changed_under_it_pauses_it_and_the_new_one_goes_on(world, site):
    rotation_id = await started(world, "account")
    await world.until(rotation_id, "canary")
    site.directory.set_password("svc-b", "Changed-1")
    async with site.database.read() as conn:
        row = await accounts.get(conn, B)
    await site.watch.read(row)
    await world.tick()
    assert "does not work any more" in (await world.service.show(rotation_id)).paused
    # Resumed without a password that works it does not move anybody; with one it goes on.
    await world.service.act(rotation_id, E.RESUMED, "admin")
    await world.tick(2)
    found = await world.service.show(rotation_id)
    assert "does not work any more" in found.paused
    assert {row.wave for row in await world.commands() if row.state != "planned"} <= {1}
    await world.accounts.add("svc-b", Secret(b"Changed-1"), (), "admin")
    await world.service.act(rotation_id, E.RESUMED, "admin")
    await world.tick(2, seconds=30)
    async with site.database.read() as conn:
        target = await rotation_counts.target_of(conn, world.ids[0])
        row = await rotations.get(conn, rotation_id)
    assert (row.document["facts"]["generation"], target is None or target.generation == 2) == (2, True)
    assert (await world.until(rotation_id, "draining")).moved == 10


async def test_a_way_back_does_not_wait_for_a_password_that_does_not_work(world, site):
    rotation_id = await started(world, "account")
    await world.until(rotation_id, "canary")
    site.directory.set_password("svc-b", "Changed-1")
    async with site.database.read() as conn:
        row = await accounts.get(conn, B)
    await site.watch.read(row)
    await world.tick()
    await world.service.act(rotation_id, E.RESUMED, "admin")
    await world.tick(2)
    await world.service.act(rotation_id, E.ROLLED_BACK, "admin")
    assert (await world.until(rotation_id, "abandoned", seconds=30)).state == "abandoned"


async def test_wrong_passwords_pause_it(world, site):
    rotation_id = await started(world)
    await world.until(rotation_id, "canary")
    site.directory.alter("svc-a", bad_passwords=6)
    async with site.database.read() as conn:
        row = await accounts.get(conn, A)
    await site.watch.read(row)
    await world.tick()
    assert "6 wrong passwords" in (await world.service.show(rotation_id)).paused


async def test_silence_pauses_it(world, site):
    rotation_id = await started(world)
    await world.until(rotation_id, "canary")
    await world.tick()
    await world.move(C.QUEUED, C.OFFERED)
    async with site.database.write() as conn:
        await conn.execute(update(presence).values(next_due=int(world.clock.now) - 1000))
    await world.tick()
    assert "were not heard of again" in (await world.service.show(rotation_id)).paused


async def test_an_endpoint_that_stays_away_is_waived_by_name(world):
    rotation_id = await started(world)
    await world.until(rotation_id, "rolling")
    moved = {row.endpoint_id for row in await world.commands() if row.state == C.VERIFIED.value}
    world.ids.sort(key=moved.__contains__)  # the canary is drawn; who stays away is none of it
    for _ in range(12):
        await world.move(only=world.ids[1:])
        await world.tick(seconds=5)
    async with world.site.database.write() as conn:  # one is off for long
        away = update(presence).where(presence.c.endpoint_id == world.ids[0])
        await conn.execute(away.values(seen_at=int(world.clock.now) - 10**6))
    for _ in range(12):
        await world.move(only=world.ids[1:])
        await world.tick(seconds=5)
    draining = await world.service.show(rotation_id)
    assert (draining.state, [row.id for row in draining.missing]) == ("draining", [world.ids[0]])
    await world.tick(seconds=10**7)
    with pytest.raises(ConflictError, match="1 endpoints have not moved"):
        await world.service.act(rotation_id, E.RETIRED, "admin")
    for fault, names, reason in (
        (UsageError, [draining.missing[0].name], " "),
        (UsageError, [], "lost"),
        (NotFoundError, ["nobody"], "lost"),
    ):
        with pytest.raises(fault):
            await world.service.waive(rotation_id, names, reason, "admin")
    assert await world.service.waive(rotation_id, [draining.missing[0].name], "stolen", "admin") == (world.ids[0],)
    await world.service.act(rotation_id, E.RETIRED, "admin")
    told = await world.site.events("rotation_waived")
    assert told == [("rotation_waived", {"rotation": rotation_id, "by": "admin", "reason": "stolen"})]


async def test_endpoints_that_join_while_it_drains_are_added(world):
    rotation_id = await started(world)
    await world.until(rotation_id, "draining")
    await world.fleet(2)
    assert "2 endpoints joined with the old access since" in against(await world.service.show(rotation_id), "retired")
    await world.tick(4, seconds=61)
    await world.move()
    await world.tick(seconds=61)
    found = await world.service.show(rotation_id)
    assert (found.state, found.targets, found.moved) == ("draining", 12, 12)


async def test_it_is_rolled_back_under_a_new_number(world):
    rotation_id = await started(world)
    await world.until(rotation_id, "draining")
    await world.service.act(rotation_id, E.ROLLED_BACK, "admin", "it was a mistake")
    await world.tick(2)
    async with world.site.database.read() as conn:
        back = await rotation_counts.target_of(conn, world.ids[0])
    assert (back.account_key, back.generation, back.back) == (A, 1, True)
    await world.until(rotation_id, "abandoned")
    seqs = [row.seq for row in await world.commands() if row.endpoint_id == world.ids[0]]
    assert seqs == [1, 2]


async def test_a_restored_server_takes_nothing_away_and_signs_anew(world, site):
    rotation_id = await started(world, "address", mode="windows", urls=("https://new.example",))
    await world.until(rotation_id, "draining")
    await world.tick(seconds=60)
    await world.service.act(rotation_id, E.RETIRED, "admin")

    async def restored(at, epoch):
        async with site.database.write() as conn:
            await conn.execute(update(installation).values(restored_at=at, epoch=epoch))

    await restored(int(world.clock.now), 2)
    await world.tick(3, seconds=61)
    found = await world.service.show(rotation_id)
    assert next(act for act in found.acts if act.act == "retire").done_at == 0
    with pytest.raises(ConflictError, match="restored from a backup"):
        await world.service.act(rotation_id, E.FINISHED, "admin")
    await restored(0, 2)
    await world.tick(6, seconds=61)
    assert acts(await world.service.show(rotation_id))[-2:] == ["sign_profile", "put_in_force"]
    async with site.database.read() as conn:
        row = (await profiles.in_force(conn))[Mode.WINDOWS]
    assert site.live.current.keyset.verify(row.statement, PROFILE_TYP, AccessProfile).epoch == 2


async def test_a_rotation_that_fails_holds_up_no_other(world):
    class NoPlace(Exception):  # noqa: N818 - any fault that nobody expects
        pass

    class FailingDirectory:
        async def reset(self, *asked):
            raise NoPlace

    first = await started(world)
    world.runner._acts._passwords._directory.reset_password = FailingDirectory().reset
    second = await started(world, "token_key", source="")
    with pytest.raises(NoPlace):
        await world.tick()
    assert (await world.service.show(first)).state == "prepared"
    assert (await world.service.show(second)).state == "trusted"


async def test_two_persons_approve_where_the_plan_says_so(world):
    rotation_id = await world.plan("password", target=B, approvals=2)
    with pytest.raises(ConflictError, match="1 more must approve it"):
        await world.service.act(rotation_id, E.STARTED, "admin")
    with pytest.raises(UsageError):
        await world.service.approve(rotation_id, " ")
    assert (await world.service.approve(rotation_id[:8], "second")).approvals == ("admin", "second")
    assert (await world.service.act(rotation_id, E.STARTED, "admin")).state == "prepared"
    with pytest.raises(TransitionError):
        await world.service.approve(rotation_id, "third")
    assert (await world.service.act(rotation_id, E.ABANDONED, "admin")).finished
    with pytest.raises(NotFoundError):
        await world.service.show("ffff")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"kind": "x"}, "no kind"),
        ({"kind": "token_key", "approvals": 3}, "persons approve"),
        ({"kind": "password", "source": A}, "name the account"),
        ({"kind": "password", "source": A, "target": A}, "never changed"),
        ({"kind": "account", "source": A, "target": "svc-x"}, "not a client authentication account"),
        ({"kind": "account", "source": "svc-x", "target": B}, "not a client authentication account"),
        ({"kind": "password", "source": A, "target": "svc-x", "by_hand": True}, "not a client authentication account"),
        ({"kind": "oauth"}, "name the account"),
        ({"kind": "address"}, "name the mode"),
        ({"kind": "address", "mode": "oauth"}, "URLs"),
        ({"kind": "address", "mode": "oauth", "urls": ("http://x",)}, "not an https URL"),
        ({"kind": "address", "mode": "oauth", "ca": "x"}, "no PEM"),
        ({"kind": "recovery"}, "that broke"),
        ({"kind": "recovery", "source": "svc-x"}, "not a client authentication account"),
        ({"kind": "token_key", "drain_s": -1}, "not negative"),
        ({"kind": "token_key", "rate_per_minute": 0}, "at least one"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(world, order, message):
    with pytest.raises(UsageError, match=message):
        await world.service.preview(RotationOrder(**order))


async def test_stored_generations_follow_the_table(world, site):
    made = StoredGenerations()
    async with site.database.write() as conn:
        assert await made.change(conn, B, "password_set", int(world.clock.now)) == 1
        with pytest.raises(ConflictError):
            await made.change(conn, B, "no_such_thing", int(world.clock.now))
    assert [row.state for row in await world.generations_of(B)] == [GenerationState.IN_QUESTION]


async def run_through(world, rotation_id):
    """Start it and bring it to its end, however often the process dies; return how often."""
    orders, died = {"draft": E.STARTED, "draining": E.RETIRED, "refused": E.FINISHED}, 0
    for _ in range(60):
        try:
            found = await world.service.show(rotation_id)
            step = orders.get(found.state)
            if step is not None and not against(found, step.value):
                await world.service.act(rotation_id, step, "admin")
            await world.move()
            await world.tick(seconds=11)
            if found.finished and all(act.done_at for act in found.acts):
                return died
        except DiedError:
            died += 1
    raise AssertionError(found)


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("die_at", range(1, WRITES + 2))
async def test_a_runner_may_die_at_any_write_and_another_goes_on(world, site, die_at, after_commit):
    rotation_id = await world.plan("password", target=B)
    world.database.die_at, world.database.after_commit = world.database.writes + die_at, after_commit
    died = await run_through(world, rotation_id)
    found = await world.service.show(rotation_id)
    assert (found.state, found.moved, found.targets) == ("done", 10, 10)
    assert died == (1 if die_at <= WRITES else 0)
    assert all(act.done_at for act in found.acts)
    changes = [row for row in await world.commands() if row.action != "Erase"]
    assert len(changes) == len({row.endpoint_id for row in changes}) == 10
    generations = await world.generations_of(B)
    assert [row.generation for row in generations] == [1, 2]
    password = site.kek.open(generations[-1].password_sealed, bound_to=bound_to(B, 2)).reveal()
    assert site.directory.accounts["svc-b"].password == password
    assert set(world.generations.changes) == {(A, "retired"), (A, "destroyed")}
