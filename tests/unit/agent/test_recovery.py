"""An endpoint that lost its access asks for it by its device key, over any route, and for ever."""

from base64 import b64encode

import httpx2
import msgspec
import pytest
from msgspec.structs import replace
from tests.support.agent_days import (
    ACCOUNT_A,
    ACCOUNT_B,
    HOUR,
    NEW,
    OLD,
    RECOVER,
    asked,
    enrolled,
    until_well,
    visits,
    windows_server,
)
from tests.support.fake_agent import MemoryDatabase, Rig, pass_time, rig_for
from tests.support.fake_server import Answer, FakeServer

from keyfast.agent import recovery
from keyfast.agent.client_database import Admission, Recovery
from keyfast.agent.install import seed
from keyfast.agent.status import five_lines, status_of
from keyfast.agent.timing import Due, Moment
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.wire import limits


async def test_a_retired_account_is_replaced_in_the_same_visit_without_another_try_of_the_password():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, account=ACCOUNT_B, urls=(NEW,), offer=False)
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    before = len(server.logons)
    await rig.visit()
    record = rig.agent.record
    assert (record.account_name, record.failures, record.recovery) == ("svc-b", 0, None)
    assert len(server.logons) - before == 3  # the refused one, the probe's, the check-in's
    signed, message = server.recoveries[0]
    assert signed
    assert (message.account, message.credential_generation) == ("CORP\\svc-a", 1)
    assert (message.endpoint, message.receipt) == (server.only.id, server.only.receipt)
    assert message.last_refusal == "account_refused"
    assert message.join is None
    assert message.prior is None


async def test_a_wrong_password_is_held_and_the_question_is_not():
    server = windows_server()
    rig = await enrolled(server)
    server.accounts["CORP\\svc-a"] = replace(ACCOUNT_A, password="changed")
    pass_time(server, rig, HOUR)
    for _ in range(20):
        wait = await rig.visit()
        assert wait <= 600 * 1.25
        pass_time(server, rig, wait)
    assert len(server.logons) == 2
    assert asked(server) >= 20
    status = status_of(rig.agent.record, rig.clock.now())
    assert "account_refused" in status.recovery
    assert "asks for its access" in five_lines(status)
    server.move(server.only, account=ACCOUNT_B, offer=False)
    assert await until_well(server, rig) < HOUR
    assert rig.agent.record.account_name == "svc-b"


@pytest.mark.parametrize("kind", ["account_not_allowed", "mode_closed", "unauthenticated", "unknown_device"])
async def test_every_refusal_of_the_access_leads_to_the_question(kind):
    server = windows_server()
    rig = await enrolled(server)
    server.say_instead = lambda path: Refusal(RefusalClass(kind)) if path != RECOVER else None
    await visits(server, rig, 3)
    assert server.recoveries
    assert rig.agent.record.account_name == "svc-a"


@pytest.mark.parametrize("kind", ["pending", "revoked", "not_ready", "malformed"])
async def test_other_refusals_do_not(kind):
    server = windows_server()
    rig = await enrolled(server)
    server.say_instead = lambda path: Refusal(RefusalClass(kind)) if path != RECOVER else None
    await visits(server, rig, 4)
    assert not server.recoveries


async def test_a_silent_network_is_asked_at_every_second_visit():
    server = windows_server()
    rig = await enrolled(server)
    server.dead_hosts = {"old.example.com"}
    pass_time(server, rig, HOUR)
    counts = []
    for _ in range(6):
        await visits(server, rig)
        counts.append(asked(server))
    assert counts == [0, 1, 1, 2, 2, 3]


async def test_one_that_never_joined_goes_on_joining_when_the_network_is_silent():
    """Asking for recovery would put it before a person, although nobody has refused its package."""
    server = windows_server()
    rig = rig_for(server)
    server.dead_hosts = {"old.example.com"}
    await visits(server, rig, 6)
    server.dead_hosts = set()
    await visits(server, rig, 2)
    assert not server.recoveries
    assert rig.agent.record.receipt
    assert rig.agent.record.admission is Admission.REGISTERED


async def test_the_question_goes_to_every_url_that_was_ever_known():
    server = windows_server("https://factory.example.com")
    rig = await enrolled(server)
    server.move(server.only, urls=(OLD,), account=ACCOUNT_B)
    pass_time(server, rig, HOUR)
    await visits(server, rig, 4)
    rig.restart()
    await visits(server, rig, 2)
    server.move(server.only, urls=(NEW,), account=ACCOUNT_A)
    await visits(server, rig, 3)
    rig.restart()
    await visits(server, rig, 5)
    server.dead_hosts = {"new.example.com"}
    server.retired = {"CORP\\svc-a"}
    server.refuse_recovery = lambda _signed: (
        Refusal(RefusalClass.NOT_READY) if server.requests[-1][0] != "factory.example.com" else None
    )
    server.move(server.only, urls=("https://third.example.com",), offer=False)
    server.requests.clear()
    await until_well(server, rig)
    assert ("old.example.com", RECOVER) in server.requests
    assert ("factory.example.com", RECOVER) in server.requests
    assert rig.agent.record.mode is Mode.OAUTH


async def test_a_server_that_forgot_takes_the_endpoint_back_by_its_receipt():
    server = FakeServer((OLD,))
    server.next_try_s = 600
    rig = await enrolled(server)
    endpoint = server.only.id
    server.forget(server.only)
    server.say_instead = lambda path: Refusal(RefusalClass.ENROLMENT_EXPIRED) if path == "/oauth/register" else None
    pass_time(server, rig, HOUR)
    await until_well(server, rig)
    assert server.only.id == endpoint == rig.agent.record.endpoint_id
    assert server.recoveries[-1][1].receipt
    assert rig.agent.record.receipt == server.only.receipt


async def test_an_image_from_before_the_last_change_simply_recovers():
    server = windows_server()
    rig = await enrolled(server)
    image = rig.database.content
    server.move(server.only, urls=(NEW,), account=ACCOUNT_B)
    pass_time(server, rig, HOUR)
    await visits(server, rig, 6)
    server.retired = {"CORP\\svc-a"}
    server.dead_hosts = set()
    rig.database.content = image
    rig.restart()
    await until_well(server, rig)
    assert rig.agent.record.account_name == "svc-b"


async def test_a_change_that_failed_here_is_taken_again_when_a_recovery_brings_it():
    server = windows_server()
    rig = await enrolled(server)
    server.retired = {"CORP\\svc-a"}
    server.dead_hosts = {"new.example.com"}
    change = server.move(server.only, urls=(NEW,), account=ACCOUNT_B, offer=False)
    pass_time(server, rig, HOUR)
    states = set()
    for _ in range(20):
        await visits(server, rig, longest=600)
        states.add(rig.agent.record.change.state)
    assert states == {ChangeState.STAGED, ChangeState.FAILED}
    server.dead_hosts = set()
    await until_well(server, rig)
    assert server.states(change.id) == ["applied"]


async def test_a_change_in_hand_is_named_so_that_it_is_not_sent_again():
    server = windows_server()
    rig = await enrolled(server)
    server.retired = {"CORP\\svc-a"}
    server.fail_probe = lambda _host: Refusal(RefusalClass.NOT_READY)
    server.next_try_s = 30
    change = server.move(server.only, account=ACCOUNT_B, offer=False)
    pass_time(server, rig, HOUR)
    await visits(server, rig, 3)
    assert [message.command for _, message in server.recoveries][:2] == ["", change.id]


@pytest.mark.parametrize("kind", ["unauthenticated", "unknown_device"])
async def test_a_refused_question_is_asked_once_without_a_proof(kind):
    server = windows_server(OLD, NEW)
    rig = await enrolled(server)
    server.window_open = True
    server.refuse_recovery = lambda signed: Refusal(RefusalClass(kind)) if signed else None
    server.move(server.only, account=ACCOUNT_B, offer=False)
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    await until_well(server, rig)
    (signed, message), *_ = server.recoveries
    assert not signed
    assert set(msgspec.json.decode(msgspec.json.encode(message))) == {"challenge", "endpoint"}
    assert rig.agent.record.account_name == "svc-b"


async def test_where_no_window_is_open_each_round_asks_anonymously_once_and_waits():
    server = windows_server(OLD, NEW)
    rig = await enrolled(server)
    server.refuse_recovery = lambda _signed: Refusal(RefusalClass.UNAUTHENTICATED)
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    await rig.visit()
    assert asked(server) == 3  # two routes, and one without a proof
    assert rig.agent.record.recovery.asks == 1


async def test_a_class_of_the_next_version_closes_the_window_and_not_the_endpoint():
    server = windows_server()
    rig = await enrolled(server)
    body = server._refused(Refusal(RefusalClass.REVOKED)).body.replace(b"revoked", b"window_closed")
    closed = Answer(403, body, media="application/problem+json")
    genuine = server._recover
    server.window_open = True
    server._recover = lambda request: closed if "dpop" in request.headers else genuine(request)
    server.move(server.only, account=ACCOUNT_B, offer=False)
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    await until_well(server, rig)
    assert rig.agent.record.account_name == "svc-b"


async def test_an_endpoint_that_never_enrolled_asks_with_its_join_and_a_former_password():
    server = windows_server()
    database = MemoryDatabase()
    seed(database, server.bundle())
    rig = Rig(server, database)
    server.accounts["CORP\\svc-a"] = ACCOUNT_A
    server.retired = {"CORP\\svc-a"}
    await rig.visit()
    signed, message = server.recoveries[-1]
    assert signed
    assert message.join is not None
    assert message.prior is not None
    assert server.priors == [True]
    assert server.only.id == rig.agent.record.endpoint_id
    assert rig.agent.record.admission is Admission.REGISTERED
    server.move(server.only, account=ACCOUNT_B, offer=False)
    await until_well(server, rig)
    assert rig.agent.record.account_name == "svc-b"


async def test_the_question_holds_no_secret():
    server = windows_server()
    rig = await enrolled(server)
    record = rig.agent.record
    bodies: list[bytes] = []
    genuine = server._recover

    def watching(request: httpx2.Request) -> Answer:
        bodies.append(request.content + str(request.headers).encode())
        return genuine(request)

    server._recover = watching
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    await rig.visit()
    assert bodies
    for secret in (b"first-Secret", b64encode(b"first-Secret"), record.device_key[40:80].encode()):
        assert all(secret not in body for body in bodies)


@pytest.mark.parametrize(
    ("said", "low", "high"), [(1, 30, 37.5), (600, 600, 750), (10**9, limits.MAX_INTERVAL, 1.25 * limits.MAX_INTERVAL)]
)
def test_the_wait_is_the_server_s_within_bounds(said, low, high):
    now = Moment(0.0, 0.0, "b")
    base = rig_record()
    for chance in (0.0, 0.5, 0.999):
        record = recovery.told_to_wait(replace(base, recovery=Recovery("x", Due(now, 5.0))), said, now, chance)
        assert low <= record.recovery.due.delay <= high
    assert recovery.told_to_wait(base, said, now, 0.5) == base
    asking = replace(base, recovery=Recovery("x", Due(now, 5.0)))
    assert recovery.told_to_wait(asking, 0, now, 0.5) == asking


def rig_record():
    return rig_for(FakeServer()).agent.record


def test_the_question_backs_off_to_an_hour_and_never_ends():
    now, record, delays = Moment(0.0, 0.0, "b"), rig_record(), []
    record = recovery.after_refusal(record, "account_refused", now, joining=False)
    for _ in range(12):
        record = recovery.begun(record, now, 0.999999)
        delays.append(round(record.recovery.due.delay))
    assert delays[:3] == [30, 60, 120]
    assert delays[-1] == 3600
    assert recovery.after_refusal(record, "mode_closed", now, joining=False).recovery.due == record.recovery.due


def test_an_expired_package_asks_only_when_it_wanted_to_join():
    now, record = Moment(0.0, 0.0, "b"), rig_record()
    assert recovery.after_refusal(record, "enrolment_expired", now, joining=True).recovery is not None
    assert recovery.after_refusal(record, "enrolment_expired", now, joining=False).recovery is None
