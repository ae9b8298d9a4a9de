"""The whole agent against a server in memory: enrolment, check-ins, faults and refusals."""

import asyncio

import msgspec
import pytest
from msgspec.structs import asdict, replace
from tests.support.fake_agent import Rig, pass_time, rig_for
from tests.support.fake_server import Answer, FakeServer, Fault

from keyfast.agent.client_database import Admission
from keyfast.agent.decide import Wait
from keyfast.core.check_in import Fork
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ClientDatabaseError
from keyfast.wire.messages import Encryption, Protection, Volume

CHECK_IN = "/endpoint/v1/check-in"
IDENTITY = (
    "installation",
    "root",
    "device_key",
    "seal_key",
    "receipt",
    "slots",
    "statement",
    "endpoint_id",
    "key_history",
)


async def checked_in(server: FakeServer, rig: Rig) -> None:
    """Demand a check-in within a few days of doing nothing but waiting."""
    before = len(server.only.bodies) if server.by_id else 0
    for _ in range(60):
        wait = await rig.visit()
        if server.by_id and len(server.only.bodies) > before:
            return
        pass_time(server, rig, wait)
    raise AssertionError(f"no check-in; last refusal {rig.agent.record.last_refusal}, {rig.agent.record.trouble}")


async def test_a_first_visit_enrols_and_checks_in():
    server = FakeServer()
    rig = rig_for(server)
    wait = await rig.visit()
    record = rig.agent.record
    assert record.admission is Admission.REGISTERED
    assert record.endpoint_id == server.only.id
    assert server.only.standing.state is EndpointState.ACTIVE
    assert len(server.only.bodies) == 1
    assert server.only.bodies[0].inventory is not None
    assert wait == 3600.0
    assert record.failures == 0
    assert record.last_refusal is None
    assert record.policy == server.policy
    assert server.answers == [
        ("/oauth/register", 401),  # the first nonce
        ("/oauth/register", 201),
        ("/oauth/token", 200),
        (CHECK_IN, 200),
    ]


async def test_a_steady_check_in_is_one_request_without_inventory():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    for _ in range(3):
        pass_time(server, rig, 3600)
        server.answers.clear()
        await rig.visit()
        assert server.answers == [(CHECK_IN, 200)]
        assert server.only.bodies[-1].inventory is None
    rig.machine.volumes = (Volume("v1", Encryption.DECRYPTING, Protection.OFF, "/", "os", "luks2"),)
    pass_time(server, rig, 3600)
    await rig.visit()
    assert server.only.bodies[-1].inventory is not None


async def test_a_restart_forgets_nothing():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    before = asdict(rig.agent.record)
    rig.restart()
    assert asdict(rig.agent.record) == before
    assert isinstance(await rig.agent.step(), Wait)
    rig.clock.reboot()
    server.now += 60
    rig.restart()
    await checked_in(server, rig)


async def test_an_endpoint_that_waits_for_approval_asks_until_it_has_it():
    server = FakeServer()
    server.admission = EndpointState.PENDING
    rig = rig_for(server)
    wait = await rig.visit()
    assert rig.agent.record.admission is Admission.PENDING
    assert 0 < wait <= 600
    for _ in range(5):
        pass_time(server, rig, wait)
        wait = await rig.visit()
    server.only.standing = msgspec.structs.replace(server.only.standing, state=EndpointState.REGISTERED)
    pass_time(server, rig, wait)
    await rig.visit()
    assert len(server.only.bodies) == 1
    assert len(server.by_id) == 1


@pytest.mark.parametrize("kind", [*(kind.value for kind in RefusalClass), "a_class_of_the_next_version"])
@pytest.mark.parametrize("path", ["/oauth/token", CHECK_IN, "/oauth/register"])
async def test_any_refusal_is_survived_with_the_identity_intact(kind, path):
    server = FakeServer()
    rig = rig_for(server)
    if path != "/oauth/register":
        await rig.visit()
        pass_time(server, rig, 86400 if path == "/oauth/token" else 3600)
    before = asdict(rig.agent.record)
    server.say_instead = lambda asked: said(server, kind) if asked == path else None
    for _ in range(4):
        pass_time(server, rig, await rig.visit())
        rig.restart()
    after = asdict(rig.agent.record)
    held = IDENTITY if path != "/oauth/register" else ("installation", "root", "slots", "statement")
    assert {name: after[name] for name in held} == {name: before[name] for name in held}
    assert after["seq"] >= before["seq"]
    assert after["last_refusal"].kind == kind
    assert after["failures"] > 0
    server.say_instead = lambda _path: None
    await checked_in(server, rig)
    assert len(server.by_id) == 1


def said(server: FakeServer, kind: str) -> Answer:
    """A refusal as a server sends it, of a class that this version may not know."""
    body = {"class": kind, "detail": "for a test", "server_time": server.now, "expected_seq": 50}
    return Answer(403, msgspec.json.encode(body), {"dpop-nonce": server.nonce()}, "application/problem+json")


async def test_a_server_that_forgot_the_endpoint_gets_it_back_under_the_same_key():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    key, known = rig.agent.record.device_key, server.only
    server.forget(known)
    await checked_in(server, rig)
    assert rig.agent.record.device_key == key
    assert server.only.thumbprint == known.thumbprint
    assert server.only.bodies[-1].inventory is not None


async def test_an_image_that_went_back_in_time_resynchronises_and_is_told():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    image = rig.database.content
    for _ in range(5):
        pass_time(server, rig, 3600)
        await rig.visit()
    rig.database.content = image
    rig.clock.reboot()
    rig.restart()
    server.now += 3600
    rig.clock.pass_time(3600)
    server.answers.clear()
    await checked_in(server, rig)
    assert server.answers == [(CHECK_IN, 409), (CHECK_IN, 200)]
    assert server.only.forks == [Fork.ROLLED_BACK]
    assert rig.agent.record.last_refusal is not None
    assert rig.agent.record.last_refusal.kind == "replayed"
    assert rig.agent.record.seq == server.only.standing.seq
    assert rig.agent.record.failures == 0


async def test_a_lost_answer_costs_a_number_and_is_no_fork():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    pass_time(server, rig, 3600)
    server.fault = lambda _request: Fault.LOST_ANSWER
    wait = await rig.visit()
    server.fault = lambda _request: None
    pass_time(server, rig, wait)
    await rig.visit()
    assert [body.seq for body in server.only.bodies] == [1, 2, 3]
    assert server.only.forks == []
    assert server.only.bodies[-1].failures == 1


async def test_every_url_is_tried_and_any_may_pass():
    urls = ("https://a.example.com", "https://b.example.com/", "https://c.example.com")
    server = FakeServer(urls)
    server.dead_hosts = {"a.example.com", "b.example.com"}
    rig = rig_for(server)
    await rig.visit()
    assert len(server.only.bodies) == 1
    assert server.only.forks == []


async def test_a_url_that_always_refuses_cannot_keep_the_endpoint_from_one_that_does_not():
    server = FakeServer(("https://a.example.com", "https://b.example.com"))
    rig = rig_for(server)
    await rig.visit()
    pass_time(server, rig, 3600)
    server.say_instead = lambda _path: (
        Refusal(RefusalClass.REVOKED) if server.requests[-1][0] == "a.example.com" else None
    )
    await checked_in(server, rig)


async def test_a_profile_that_leads_elsewhere_moves_nobody_without_a_change():
    server = FakeServer(("https://old.example.com",))
    rig = rig_for(server)
    await rig.visit()
    before = rig.agent.record.slots
    server.change_profile(("https://new.example.com",))
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.slots == before
    server.change_profile(("https://old.example.com",))  # the same servers, a newer number
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.slots == replace(before, current=server.profile)
    assert rig.agent.record.profile_seq == 3


async def test_a_change_to_a_server_that_is_dead_does_not_cost_the_one_that_works():
    server = FakeServer(("https://old.example.com",))
    rig = rig_for(server)
    await rig.visit()
    before = rig.agent.record.slots
    for number in range(3):
        server.dead_hosts.add(f"typo{number}.example.com")
        change = server.move(server.only, urls=(f"https://typo{number}.example.com",))
        for _ in range(8):
            pass_time(server, rig, 3600)
            await rig.visit()
        assert rig.agent.record.slots == before
        assert server.states(change.id)[-1] == "failed"
    change = server.move(server.only, urls=("https://right.example.com",))
    pass_time(server, rig, 3600)
    await rig.visit()
    assert server.requests[-1] == ("right.example.com", "/endpoint/v1/check-in")
    assert server.states(change.id) == ["applied"]
    assert rig.agent.record.slots.previous == before.current


async def test_a_profile_signed_by_nobody_is_ignored_and_the_check_in_counts():
    server, other = FakeServer(), FakeServer()
    rig = rig_for(server)
    await rig.visit()
    other.change_profile(("https://evil.example.com",))
    server.profile, server.profile_seq = other.profile, other.profile_seq
    before = rig.agent.record.slots
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.slots == before
    assert rig.agent.record.failures == 0
    assert len(server.only.bodies) == 2


@pytest.mark.parametrize("wall", [0.0, 1_800_000_000.0 + 10 * 365 * 86400])
async def test_a_clock_that_is_years_off_does_not_matter(wall):
    server = FakeServer()
    rig = rig_for(server)
    rig.clock.set_wall(wall)
    await rig.visit()
    assert len(server.only.bodies) == 1
    rig.clock.set_wall(1_800_000_000.0)
    pass_time(server, rig, 90000)
    await checked_in(server, rig)
    rig.clock.set_wall(wall)
    rig.clock.reboot()
    rig.restart()
    await checked_in(server, rig)


async def test_a_full_disk_sends_nothing_and_loses_nothing():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    pass_time(server, rig, 3600)
    sent, before = len(server.requests), rig.database.content
    rig.database.fail = lambda: "before"
    for _ in range(3):
        with pytest.raises(ClientDatabaseError):
            await rig.agent.step()
    assert len(server.requests) == sent
    assert rig.database.content == before
    rig.database.fail = lambda: ""
    await checked_in(server, rig)
    assert server.only.forks == []


async def test_the_loop_outlives_a_full_disk_and_stops_when_told():
    server = FakeServer()
    rig = rig_for(server)
    rig.database.fail = lambda: "before"
    stop, hurry = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(rig.agent.run(stop, hurry))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    rig.database.fail = lambda: ""
    hurry.set()
    for _ in range(500):
        await asyncio.sleep(0)
        if server.by_id and server.only.bodies:
            break
    stop.set()
    await asyncio.wait_for(task, 1)
    assert len(server.only.bodies) == 1


async def test_an_answer_from_something_else_is_no_answer():
    server = FakeServer(("https://a.example.com", "https://b.example.com"))
    rig = rig_for(server)
    server.fault = lambda request: Fault.GATEWAY if request.url.host == "a.example.com" else None
    await rig.visit()
    assert len(server.only.bodies) == 1


async def test_a_registration_signed_by_another_installation_is_not_believed():
    server, impostor = FakeServer(), FakeServer()
    rig = rig_for(server)
    rig.transport = impostor
    rig.restart()
    await rig.visit()
    record = rig.agent.record
    assert record.endpoint_id == ""
    assert record.receipt == ""
    assert record.failures == 1
    rig.transport = server
    rig.restart()
    await checked_in(server, rig)
