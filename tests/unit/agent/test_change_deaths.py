"""An agent that dies, or whose requests are lost, at every step of a change of its access."""

import itertools

import httpx2
import pytest
from tests.support.agent_days import (
    ACCOUNT_B,
    HOUR,
    NEW,
    enrolled,
    hours,
    windows_server,
)
from tests.support.fake_agent import MemoryDatabase, Rig, pass_time
from tests.support.fake_server import FakeServer, Fault

from keyfast.agent.client_database import Record
from keyfast.agent.install import seed
from keyfast.core.mode import Mode
from keyfast.errors import ClientDatabaseError


class _Killed(BaseException):
    """kill -9."""


def acceptable(server: FakeServer, record: Record) -> None:
    """The record holds an access that the server takes, and the device key with which it recovers."""
    account = record.account
    good = record.mode is Mode.OAUTH or (
        account is not None and server.accounts[f"CORP\\{account.name}"].password == account.password
    )
    assert good
    assert record.device_key
    assert record.receipt
    assert record.slots.factory
    assert record.slots.current


@pytest.mark.parametrize("to", ["windows", "oauth"])
@pytest.mark.parametrize("how", ["before", "after", "lost request", "lost answer"])
async def test_killed_at_every_store_and_every_request_of_a_change_it_ends_on_the_new_access(to, how):
    for at in range(40):
        server = windows_server()
        database = MemoryDatabase()
        seed(database, server.bundle())
        rig = Rig(server, database)
        await rig.visit()
        change = server.move(server.only, urls=(NEW,), account=ACCOUNT_B if to == "windows" else None)
        count = itertools.count()
        reached = _kill_at(server, database, at, how, count)
        pass_time(server, rig, HOUR)
        highest = (0, 0)
        for _ in range(12):
            try:
                wait = await rig.visit()
            except (ClientDatabaseError, _Killed):
                rig.restart()
                wait = 60.0
            stored = database.load()
            assert stored is not None
            acceptable(server, stored)
            assert (stored.epoch, stored.command_seq) >= highest
            highest = (stored.epoch, stored.command_seq)
            pass_time(server, rig, min(wait, 8 * HOUR))
            if server.states(change.id)[-1:] == ["applied"]:
                break
        assert "applied" in server.states(change.id), (at, server.states(change.id), stored.change)
        assert database.load().profile_seq == server.profile_seq
        if not reached():
            return
    raise AssertionError("a change takes more steps than were tried")


def _kill_at(server: FakeServer, database: MemoryDatabase, at: int, how: str, count: itertools.count):
    hit: list[int] = []

    def due() -> bool:
        now = next(count)
        if now == at:
            hit.append(now)
        return now == at

    if how in ("before", "after"):
        database.fail = lambda: how if due() else ""
        return lambda: bool(hit)
    genuine = server.handle_async_request

    async def handled(request: httpx2.Request) -> httpx2.Response:
        if due():
            if how == "lost answer":
                await genuine(request)
            raise _Killed
        return await genuine(request)

    server.handle_async_request = handled
    return lambda: bool(hit)


async def test_lost_answers_and_gateways_on_the_way_cost_nothing():
    server = windows_server()
    rig = await enrolled(server)
    change = server.move(server.only, urls=(NEW,))
    faults = itertools.cycle([Fault.LOST_ANSWER, None, Fault.GATEWAY, None, None, Fault.LOST_REQUEST, None])
    server.fault = lambda _request: next(faults)
    for _ in range(30):
        pass_time(server, rig, min(await rig.visit(), HOUR))
        acceptable(server, rig.database.load())
    server.fault = lambda _request: None
    await hours(server, rig, 2)
    assert rig.agent.record.failures == 0
    assert server.states(change.id)
