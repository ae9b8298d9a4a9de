"""An agent restarts itself when nothing but that is missing to verify its change, and never for any other reason."""

import asyncio
import os
import sys

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent import decide, transaction
from keyfast.agent.client_database import Admission, HeldChange, Record, Slots
from keyfast.agent.decide import CheckIn, Circumstances, Commit, MakeKeys, Restart, Wait
from keyfast.agent.restart import begin_anew
from keyfast.agent.timing import Due, Moment
from keyfast.core.change import GOOD_CHECK_INS, RESTART_AFTER, ChangeState
from keyfast.errors import EXIT_START_AGAIN

NOW = Moment(wall=1_800_000_000.0, boot=5000.0, boot_id="boot")
WATCH = HeldChange("c", 1, 1, ChangeState.COMMITTED, good=GOOD_CHECK_INS, instance="i", due=Due(NOW, 0.0))
RECORD = Record(
    installation="inst",
    root="{}",
    delegations=(),
    slots=Slots("factory", "current", "previous"),
    admission=Admission.REGISTERED,
    device_key="device",
    seal_key="seal",
    token="token",
    token_expires_at=2_000_000_000,
    due=Due(NOW, 3600.0),
    watch=WATCH,
)
HERE = Circumstances(NOW, instance="i")
PROVEN = HeldChange("d", 2, 1, ChangeState.PROVEN)


def watched(**changes):
    return replace(RECORD, watch=replace(WATCH, **changes))


def test_it_restarts_when_nothing_else_is_missing_and_there_is_nothing_else_to_do():
    assert decide.decide(RECORD, HERE) == Restart()
    assert isinstance(decide.decide(replace(RECORD, due=None), HERE), CheckIn)
    assert decide.decide(replace(RECORD, change=PROVEN), HERE) == Commit()
    assert decide.decide(replace(RECORD, seal_key="", due=None), HERE) == MakeKeys()


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, watch=None),
        watched(due=None),
        *(watched(state=state) for state in ChangeState if state is not ChangeState.COMMITTED),
    ],
)
def test_it_restarts_for_nothing_else(record):
    assert decide.decide(record, HERE) == Wait(3600.0, "the next check-in is not due")


@pytest.mark.parametrize("instance", ["", "another"])
def test_only_the_process_that_committed_restarts_and_only_one_that_keeps_running(instance):
    assert isinstance(decide.decide(RECORD, Circumstances(NOW, instance=instance)), Wait)


def test_until_then_it_waits_no_longer_than_until_then():
    assert decide.decide(watched(due=Due(NOW, 60.0)), HERE).seconds == 60.0
    assert decide.decide(watched(due=Due(NOW, 9000.0)), HERE).seconds == 3600.0


@pytest.mark.parametrize("good", range(GOOD_CHECK_INS + 2))
@pytest.mark.parametrize("instance", ["i", "another"])
def test_the_time_is_set_with_the_last_good_check_in_that_is_wanted_and_once(good, instance):
    before = watched(good=good, due=None)
    after = transaction.checked_in(before, "current", instance, NOW, 0.5).watch
    last = good + 1 == GOOD_CHECK_INS and instance == "i"
    assert after.due == (Due(NOW, 1.5 * RESTART_AFTER) if last else None)


def test_what_is_verified_waits_for_no_restart():
    after = transaction.checked_in(RECORD, "current", "another", NOW, 0.5)
    assert (after.watch.state, after.watch.due) == (ChangeState.VERIFIED, None)


async def committed(server):
    """A rig whose agent keeps running, moved, with all its good check-ins."""
    rig = rig_for(server)
    stop, hurry = asyncio.Event(), asyncio.Event()
    running = asyncio.ensure_future(rig.agent.run(stop, hurry))

    async def go_on(done):
        for _ in range(5000):
            if done():
                return
            hurry.set()
            await asyncio.sleep(0)
        raise AssertionError(rig.agent.record)

    await go_on(lambda: server.by_id and server.only.bodies)
    server.move(server.only, urls=("https://new.example.com",))
    await go_on(lambda: rig.agent.record.watch and rig.agent.record.watch.due)
    return rig, running, stop, hurry


async def test_the_loop_ends_for_it_and_the_next_process_verifies():
    server = FakeServer()
    rig, running, _, hurry = await committed(server)
    stored = rig.database.stores
    pass_time(server, rig, 2 * RESTART_AFTER)
    hurry.set()
    assert await asyncio.wait_for(running, 10)
    assert rig.database.stores > stored  # it checked in first
    rig.restart()
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.watch.state is ChangeState.VERIFIED


async def test_one_that_is_told_to_stop_is_not_started_again():
    server = FakeServer()
    _, running, stop, hurry = await committed(server)
    stop.set()
    hurry.set()
    assert await asyncio.wait_for(running, 10) is False


def test_it_begins_anew_as_it_was_begun():
    executed = []
    code = begin_anew({"SYSTEMD_EXEC_PID": "1"}, lambda program, arguments: executed.append((program, arguments)))
    assert executed == [(sys.executable, [sys.executable, *sys.orig_argv[1:]])]
    assert code == EXIT_START_AGAIN


def test_a_service_manager_starts_again_what_ends():
    executed = []
    managed = {"SYSTEMD_EXEC_PID": str(os.getpid())}
    assert begin_anew(managed, lambda *what: executed.append(what)) == EXIT_START_AGAIN
    assert executed == []
