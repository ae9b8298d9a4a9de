"""An image from before the server forgot the endpoint: it comes back under the name that the server has for it now."""

import pytest
from tests.support.fake_agent import MemoryDatabase, Rig
from tests.support.fake_server import FakeServer

from keyfast.agent.install import seed
from keyfast.wire.bundle import BundleAccount

ACCOUNT = BundleAccount("svc-see", "CORP", "the-shared-password", 1)


async def let_pass(rig: Rig, server: FakeServer, visits: int) -> None:
    for _ in range(visits):
        wait = await rig.visit()
        server.now += int(wait)
        rig.clock.pass_time(wait)


@pytest.mark.parametrize("windows", [False, True], ids=["oauth", "windows"])
async def test_it_comes_back_under_its_new_name(windows):
    server = FakeServer()
    if windows:
        server.windows(ACCOUNT, "basic")
    database = MemoryDatabase()
    seed(database, server.bundle())
    rig = Rig(server, database)
    await let_pass(rig, server, 3)
    image, former = database.content, rig.agent.record.endpoint_id
    assert former
    for known in list(server.by_id.values()):
        server.forget(known)
    await let_pass(rig, server, 6)
    present = rig.agent.record.endpoint_id
    assert present in server.by_id
    database.content = image
    rig.clock.reboot()
    rig.restart()
    await let_pass(rig, server, 6)
    assert rig.agent.record.failures == 0
    assert rig.agent.record.endpoint_id == present, "it would obey no command for its present name"
