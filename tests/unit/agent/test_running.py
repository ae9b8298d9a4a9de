"""Opening the client database, taking what lies there, and saying goodbye."""

import asyncio
import contextlib
import os

import msgspec
import pytest
from tests.support.fake_agent import MemoryDatabase, rig_for
from tests.support.fake_registry import FakeRegistry
from tests.support.fake_server import FakeServer

from keyfast.agent import running
from keyfast.agent.lock import is_held
from keyfast.agent.package import take_left
from keyfast.agent.platform.windows import HURRY, LockedRegistry, _look
from keyfast.agent.vault import Safe
from keyfast.core.endpoint import EndpointState
from keyfast.core.package import BUNDLE_FILE
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ClientDatabaseError, VaultError
from keyfast.wire.messages import PackageRefused


class Locked(MemoryDatabase):
    """A database whose vault stays shut for so many tries."""

    def __init__(self, shut):
        super().__init__(rig_for(FakeServer()).database.load())
        self.shut = shut
        self.aside = b""

    def load(self):
        if self.shut > 0 and self.content:
            self.shut -= 1
            raise VaultError("the key is gone")
        return super().load()

    def set_aside(self):
        self.aside, self.content = self.content, b""

    def forget(self):
        raise AssertionError("nothing is ever deleted for a vault")


async def opened(database, folder):
    pauses = []

    async def pause(seconds):
        pauses.append(seconds)

    return await running.opened(database, folder, pause), pauses


async def test_a_vault_that_takes_its_time_is_waited_for(tmp_path):
    database = Locked(9)
    record, pauses = await opened(database, tmp_path)
    assert record == Locked(0).load() or record.installation == "inst-test"
    assert len(pauses) == 9
    assert max(pauses) <= running.LONGEST_PAUSE
    assert database.aside == b""


async def test_a_package_is_a_new_beginning_only_after_some_tries_and_only_if_it_can_be_taken(tmp_path):
    file = tmp_path / BUNDLE_FILE
    file.write_bytes(b"nonsense")
    database = Locked(5)
    _, pauses = await opened(database, tmp_path)
    assert (len(pauses), database.aside) == (5, b"")
    file.write_bytes(msgspec.json.encode(FakeServer().bundle()))
    database = Locked(10**6)
    held = database.content
    record, pauses = await opened(database, tmp_path)
    assert (record, len(pauses), database.aside) == (None, running.VAULT_TRIES - 1, held)
    assert take_left(database, record, tmp_path).done == "new"


async def test_a_farewell_retires_and_nothing_of_it_stays():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    assert await rig.agent.farewell()
    assert (server.only.standing.state, server.only.bodies[-1].farewell) == (EndpointState.RETIRED, True)
    rig.restart()
    rig.agent.make_due()
    await rig.visit()
    assert (server.only.standing.state, server.only.bodies[-1].farewell) == (EndpointState.ACTIVE, False)


async def test_one_that_never_enrolled_has_nobody_to_tell():
    server = FakeServer()
    assert await rig_for(server).agent.farewell()
    assert server.requests == []


async def test_a_farewell_that_nobody_hears_ends():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    server.dead_hosts = {"kf.example.com"}
    assert not await rig.agent.farewell()


async def test_a_refused_package_is_told_until_one_check_in_is_accepted_and_told_anew_when_it_changes():
    server = FakeServer()
    rig = rig_for(server)
    first, second = PackageRefused("tampered_package", "p1"), PackageRefused("tampered_package", "p2")

    async def told(refused):
        rig.restart()
        rig.agent._package_refused = refused
        rig.agent.make_due()
        await rig.visit()
        return server.only.bodies[-1].package_refused

    assert await told(first) == first
    assert await told(first) is None
    assert await told(second) == second
    assert await told(None) is None
    assert await told(second) == second
    server.say_instead = lambda path: Refusal(RefusalClass.MALFORMED) if path.endswith("check-in") else None
    await told(first)
    server.say_instead = lambda _path: None
    assert await told(first) is None, "a server that cannot read it hears the endpoint all the same"
    assert await told(first) == first


def test_the_registry_s_database_is_held_by_the_lock_of_its_folder(tmp_path):
    state = tmp_path / "state"
    database = LockedRegistry(state, FakeRegistry(), Safe(()))
    assert is_held(state)
    with pytest.raises(ClientDatabaseError, match=f"in use by process {os.getpid()}"):
        LockedRegistry(state, FakeRegistry(), Safe(()))
    database.close()
    assert not is_held(state)
    again = LockedRegistry(state, FakeRegistry(), Safe(()))
    again.forget()
    again.close()
    assert not state.exists()


async def test_a_file_says_hurry_once(tmp_path):
    hurry = asyncio.Event()
    watcher = asyncio.ensure_future(_look(tmp_path / HURRY, hurry))
    (tmp_path / HURRY).touch()
    await hurry.wait()
    assert not (tmp_path / HURRY).exists()
    watcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher
