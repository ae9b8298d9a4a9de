"""An agent in Windows mode against a server in memory: legs, joining, the hold, and what is never shown."""

import logging
from base64 import b64decode

import httpx2
import msgspec
import pytest
from msgspec.structs import asdict, replace
from tests.support.fake_agent import Rig, pass_time, rig_for
from tests.support.fake_server import Answer, FakeServer, Fault

from keyfast.agent.client_database import Admission
from keyfast.agent.decide import Wait
from keyfast.agent.registry_database import mirrors
from keyfast.agent.status import five_lines, status_of
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.wire.bundle import BundleAccount

PASSWORD = "Correct-Horse-7-p\u00e4ssw\u00f6rd"
CHECK_IN = "/endpoint/v1/check-in"
REFUSED = Refusal(RefusalClass.ACCOUNT_REFUSED, "the directory says no")
HOUR = 3600


def windows_server(*mechanisms: str, password: str = PASSWORD, generation: int = 1) -> FakeServer:
    account = BundleAccount("svc-see", "CORP", password, generation)
    server = FakeServer().windows(account, *(mechanisms or ("basic",)))
    server.offers = tuple({"kerberos": "Negotiate", "ntlm": "NTLM"}.get(way, "Basic") for way in server.mechanisms)
    return server


async def until_checked_in(server: FakeServer, rig: Rig) -> None:
    before = len(server.only.bodies) if server.by_id else 0
    for _ in range(60):
        wait = await rig.visit()
        if server.by_id and len(server.only.bodies) > before:
            return
        pass_time(server, rig, wait)
    raise AssertionError(f"no check-in; {rig.agent.record.last_refusal}, {rig.agent.record.trouble}")


async def test_a_first_visit_joins_by_checking_in():
    server = windows_server()
    rig = rig_for(server)
    await rig.visit()
    record = rig.agent.record
    assert server.answers == [(CHECK_IN, 401), (CHECK_IN, 401), (CHECK_IN, 200)]  # nonce, offers, Basic
    assert (record.admission, record.endpoint_id, record.mechanism) == (Admission.REGISTERED, server.only.id, "basic")
    assert server.only.bodies[0].join is not None
    assert server.only.bodies[0].credential_generation == 1
    assert record.receipt
    assert record.hold is None
    assert server.logons == [(1, "basic")]


async def test_a_steady_check_in_is_one_request_and_after_a_restart_two():
    server = windows_server()
    rig = rig_for(server)
    await rig.visit()
    for restart, answers in ((False, 1), (True, 2), (False, 1)):
        if restart:
            rig.restart()
        pass_time(server, rig, HOUR)
        server.answers.clear()
        await rig.visit()
        assert len(server.answers) == answers
        assert server.only.bodies[-1].join is None
        assert server.only.bodies[-1].inventory is None


async def test_every_leg_is_the_same_request():
    server = windows_server()
    seen: list[tuple[str, bytes]] = []
    genuine = server.handle

    def watching(request: httpx2.Request) -> Answer:
        seen.append((request.headers["dpop"], request.content))
        return genuine(request)

    server.handle = watching
    await rig_for(server).visit()
    assert seen[1] == seen[2]
    assert seen[0] != seen[1]


async def test_ntlm_takes_three_legs(tmp_path, monkeypatch):
    users = tmp_path / "users"
    users.write_text(f"CORP:svc-see:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    server = windows_server("ntlm", "basic")
    rig = rig_for(server)
    await rig.visit()
    assert (rig.agent.record.mechanism, len(server.answers)) == ("ntlm", 4)
    assert server.logons == [(1, "ntlm")]
    pass_time(server, rig, HOUR)
    await rig.visit()
    assert (len(server.answers), len(server.only.bodies)) == (6, 2)  # the first leg is saved


async def test_ntlm_with_a_wrong_password_is_held_and_basic_is_not_tried_after_it(tmp_path, monkeypatch):
    users = tmp_path / "users"
    users.write_text("CORP:svc-see:another\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    server = windows_server("ntlm", "basic")
    rig = rig_for(server)
    assert await rig.visit() >= 6 * HOUR
    assert server.logons == [(1, "ntlm")]


async def test_what_the_profile_does_not_allow_is_not_used():
    server = windows_server("ntlm")
    server.offers = ('Basic realm="keyfast"',)
    rig = rig_for(server)
    await rig.visit()
    assert server.logons == []
    assert rig.agent.record.last_refusal is not None
    assert "no way to log on" in rig.agent.record.last_refusal.detail
    assert rig.agent.record.hold is None


async def test_legs_that_took_different_connections_lead_to_the_next_mechanism(tmp_path, monkeypatch):
    users = tmp_path / "users"
    users.write_text("CORP:svc-see:another\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    server = windows_server("ntlm", "basic")
    genuine = server.handle

    def pooling(request: httpx2.Request) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        third = scheme == "NTLM" and b64decode(token)[8] == 3
        return server._refused(Refusal(RefusalClass.CONNECTION_BROKEN)) if third else genuine(request)

    server.handle = pooling
    rig = rig_for(server)
    await rig.visit()
    assert (rig.agent.record.mechanism, server.logons) == ("basic", [(1, "basic")])
    server.offers, server.mechanisms = ("NTLM",), ("ntlm",)
    server.change_profile(server.urls)
    for _ in range(2):
        pass_time(server, rig, HOUR)
        rig.restart()
        await rig.visit()
    assert rig.agent.record.last_refusal is not None
    assert rig.agent.record.last_refusal.kind == "connection_broken"
    assert rig.agent.record.hold is None


async def test_a_password_that_is_known_not_to_work_is_not_tried_and_not_held():
    server = windows_server()
    server.known_refused = lambda message: message.credential_generation == 1
    rig = rig_for(server)
    for _ in range(30):
        wait = await rig.visit()
        assert wait <= HOUR
        pass_time(server, rig, wait)
    assert server.logons == []
    server.known_refused = lambda message: False
    await until_checked_in(server, rig)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_refused_password_is_tried_at_most_five_times_a_day(restart):
    server = windows_server()
    rig = rig_for(server)
    server.check_account = lambda user, password: REFUSED
    passed = 0.0
    while passed < 86_400:
        wait = min(await rig.visit(), 900.0)
        pass_time(server, rig, wait)
        passed += wait
        if restart:
            rig.restart()
    assert 3 <= len(server.logons) <= 5
    server.check_account = server._same_account
    pass_time(server, rig, 8 * HOUR)
    await until_checked_in(server, rig)
    assert rig.agent.record.hold is None


@pytest.mark.parametrize("status", [401, 403])
async def test_a_stranger_in_between_that_says_401_to_a_password_is_not_told_it_again(status):
    server = windows_server()
    genuine = server.handle

    def guarding(request: httpx2.Request) -> Answer:
        return Answer(status, b"no") if "authorization" in request.headers else genuine(request)

    server.handle = guarding
    rig = rig_for(server)
    wait = await rig.visit()
    assert (wait >= 6 * HOUR) is (status == 401)


@pytest.mark.parametrize("kind", [RefusalClass.NOT_READY, RefusalClass.ACCOUNT_NOT_ALLOWED, RefusalClass.MODE_CLOSED])
async def test_an_outage_or_another_refusal_is_no_verdict_on_the_password(kind):
    server = windows_server()
    server.check_account = lambda user, password: Refusal(kind, retry_after=30)
    rig = rig_for(server)
    for _ in range(5):
        wait = await rig.visit()
        assert wait <= HOUR
        pass_time(server, rig, wait)
    assert rig.agent.record.hold is None
    server.check_account = server._same_account
    await until_checked_in(server, rig)


async def test_lost_answers_hold_nothing():
    server = windows_server()
    rig = rig_for(server)
    server.fault = lambda request: Fault.LOST_ANSWER if "authorization" in request.headers else None
    for _ in range(4):
        wait = await rig.visit()
        assert wait <= HOUR
        pass_time(server, rig, wait)
    server.fault = lambda request: None
    await until_checked_in(server, rig)
    assert len(server.by_id) == 1


async def test_an_agent_that_dies_in_every_try_makes_no_more_of_them():
    server = windows_server()
    rig = rig_for(server)

    class Killed(BaseException):
        pass

    def killing(user, password):
        raise Killed

    server.check_account = killing
    passed = 0
    while passed < 86_400:
        try:
            wait = await rig.visit()
        except Killed:
            wait = 10.0
        rig.restart()
        pass_time(server, rig, min(wait, 600))
        passed += min(wait, 600)
    assert len(server.logons) <= 5
    server.check_account = server._same_account
    pass_time(server, rig, 8 * HOUR)
    await until_checked_in(server, rig)


async def test_an_endpoint_that_waits_for_approval_knocks_until_it_has_it():
    server = windows_server()
    server.admission = EndpointState.PENDING
    rig = rig_for(server)
    for _ in range(4):
        wait = await rig.visit()
        assert 0 < wait <= 600
        pass_time(server, rig, wait)
    assert rig.agent.record.admission is Admission.PENDING
    assert status_of(rig.agent.record, rig.clock.now()).well is False
    server.only.standing = replace(server.only.standing, state=EndpointState.REGISTERED)
    await until_checked_in(server, rig)
    assert rig.agent.record.admission is Admission.REGISTERED
    assert len(server.by_id) == 1


async def test_a_server_that_forgot_the_endpoint_gets_it_back_by_a_join():
    server = windows_server()
    rig = rig_for(server)
    await rig.visit()
    key = rig.agent.record.device_key
    server.forget(server.only)
    pass_time(server, rig, HOUR)
    await rig.visit()
    assert server.only.bodies[-1].join is not None
    assert rig.agent.record.device_key == key
    assert rig.agent.record.endpoint_id == server.only.id
    assert rig.agent.record.enrol_again is False


@pytest.mark.parametrize("kind", ["malformed", "too_large"])
async def test_a_join_always_says_what_joins(kind):
    server = windows_server()
    rig = rig_for(server)
    answers = iter([Refusal(RefusalClass(kind))] * 3)
    server.check_account = lambda user, password: next(answers, None)
    for _ in range(4):
        pass_time(server, rig, await rig.visit())
    assert server.only.bodies[0].inventory is not None
    server.forget(server.only)  # and the inventory is what it was
    await until_checked_in(server, rig)
    assert server.only.bodies[-1].join is not None
    assert server.only.bodies[-1].inventory is not None


async def test_a_change_moves_from_windows_mode_and_back():
    server = windows_server()
    rig = rig_for(server)
    await rig.visit()
    assert not rig.agent.record.token
    for account in (None, BundleAccount("svc-b", "CORP", "another", 1)):
        change = server.move(server.only, account=account)
        pass_time(server, rig, HOUR)
        await rig.visit()
        assert rig.agent.record.mode == Mode("windows" if account else "oauth")
        assert rig.agent.record.failures == 0
        assert server.states(change.id) == ["applied"]
        logons = len(server.logons)
        pass_time(server, rig, HOUR)
        await rig.visit()
        assert (len(server.logons) > logons) is (account is not None)
    assert len(server.by_id) == 1
    assert server.only.bodies[-1].account == "CORP\\svc-b"


async def test_windows_mode_is_not_taken_up_without_an_account():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    before = rig.agent.record.slots
    change = server.move(server.only, account=BundleAccount("svc-b", "CORP", "", 1))
    for _ in range(2):
        pass_time(server, rig, HOUR)
        await rig.visit()
    assert (rig.agent.record.mode, rig.agent.record.slots) == (Mode.OAUTH, before)
    assert server.states(change.id) == ["failed"]


async def test_by_hand_overrides_the_hold_once():
    server = windows_server()
    server.check_account = lambda user, password: REFUSED
    rig = rig_for(server)
    await rig.visit()
    assert len(server.logons) == 1
    rig.agent.make_due()
    await rig.visit()
    assert len(server.logons) == 2
    rig.restart()
    assert isinstance(await rig.agent.step(), Wait)
    assert len(server.logons) == 2


async def test_the_password_is_nowhere_but_in_the_record(caplog):
    caplog.set_level(logging.DEBUG)
    server = windows_server()
    rig = rig_for(server)
    answers = iter([REFUSED])
    server.check_account = lambda user, password: next(answers, None)
    for _ in range(3):
        await rig.visit()
        record, now = rig.agent.record, rig.clock.now()
        status = status_of(record, now)
        shown = [repr(record), str(mirrors(record)), msgspec.json.encode(status).decode(), five_lines(status)]
        shown += [repr(asdict(record.last_refusal)) if record.last_refusal else "", caplog.text]
        assert not any(PASSWORD in text or "UGFzcw" in text for text in shown)
        assert "svc-see" in shown[1]
        assert shown[3].count("\n") == 4
        pass_time(server, rig, 8 * HOUR)
    assert PASSWORD.encode() in rig.database.content


async def test_status_names_account_hold_and_the_act_that_helps():
    server = windows_server(generation=4)
    server.check_account = lambda user, password: REFUSED
    rig = rig_for(server)
    await rig.visit()
    status = status_of(rig.agent.record, rig.clock.now())
    assert (status.account, status.credential_generation, status.mode) == ("CORP\\svc-see", 4, "windows")
    assert status.hold_until >= server.now + 6 * HOUR
    assert status.next_check_in_s >= 6 * HOUR
    assert status.last_refusal == "account_refused"
    assert "the directory says no" in status.reason
    assert "keyfast-agent check-in" in status.repair
    server.check_account = server._same_account
    pass_time(server, rig, 8 * HOUR)
    await rig.visit()
    status = status_of(rig.agent.record, rig.clock.now())
    assert (status.well, status.hold_until, status.mechanism) == (True, 0, "basic")
