"""Commands: obeyed once, reported until that is heard, and only those that are meant and signed."""

from tests.support.fake_agent import pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.wire.messages import Policy


async def test_a_command_is_obeyed_once_and_reported():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    first = server.queue(server.only, 1, interval_s=60)
    second = server.queue(server.only, 2, action="FlyToTheMoon")
    third = server.queue(server.only, 3, lifetime=-86400)
    pass_time(server, rig, 3600)
    wait = await rig.visit()
    assert wait <= 1.0
    pass_time(server, rig, wait)
    wait = await rig.visit()
    assert {result.id: result.state for result in server.only.results} == {
        first: "applied",
        second: "failed",
        third: "failed",
    }
    assert wait <= 66
    assert rig.agent.record.results == ()
    for _ in range(3):
        pass_time(server, rig, wait)
        wait = await rig.visit()
        assert wait <= 66
    assert len(server.only.results) == 3
    server.policy = Policy(2, 7200)
    pass_time(server, rig, wait)
    assert await rig.visit() == 7200.0


async def test_a_server_that_missed_a_result_is_told_again():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    command = server.queue(server.only, 1)
    offered = dict(server.only.commands)
    for _ in range(2):
        pass_time(server, rig, 3600)
        await rig.visit()
    server.only.results.clear()
    server.only.commands = offered  # as after a restore
    for _ in range(2):
        pass_time(server, rig, 3600)
        await rig.visit()
    assert [(result.id, result.state) for result in server.only.results] == [(command, "applied")]


async def test_a_command_for_another_endpoint_or_from_nobody_is_not_obeyed_and_told():
    server, other = FakeServer(), FakeServer()
    rig = rig_for(server)
    await rig.visit()
    stranger = rig_for(other)
    await stranger.visit()
    other.queue(server.only, 1, interval_s=60)
    server.queue(other.only, 2, interval_s=60)
    server.only.commands |= other.only.commands | {"x": "rubbish"}
    pass_time(server, rig, 3600)
    assert await rig.visit() == 3600.0
    assert rig.agent.record.command_seq == 0
    told = rig.agent.record.results
    assert {result.state for result in told} == {"failed"}
    assert sorted(result.detail.partition(":")[0] for result in told) == [
        "it is for another endpoint",
        "its signature does not hold",
        "its signature does not hold",
    ]
