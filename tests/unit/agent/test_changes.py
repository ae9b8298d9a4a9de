"""An endpoint moves: staged, probed, committed, watched, taken back, and killed at every step of it."""

import httpx2
import pytest
from msgspec.structs import replace
from tests.support.agent_days import ACCOUNT_B, HOUR, NEW, enrolled, hours, windows_server
from tests.support.fake_agent import pass_time
from tests.support.fake_server import Answer, FakeServer

from keyfast.agent.client_database import Record, decode_record, encode_record
from keyfast.agent.evidence import chain_of, profile_in
from keyfast.agent.routes import same_servers
from keyfast.agent.status import five_lines, status_of
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.changes import ERASE


def erase(server: FakeServer) -> str:
    return server.move(server.only, new_profile=False, action=ERASE, profile="", account="").id


async def test_the_whole_way_to_another_account_and_the_end_of_the_old_one():
    server = windows_server()
    rig = await enrolled(server)
    old = rig.agent.record.slots.current
    change = server.move(server.only, urls=(NEW,), account=ACCOUNT_B)
    await hours(server, rig)
    record = rig.agent.record
    assert [(probe.command, probe.account, probe.credential_generation) for probe in server.probes] == [
        (change.id, "CORP\\svc-b", 1)
    ]
    assert server.requests[-1] == ("new.example.com", "/endpoint/v1/check-in")
    assert (record.account_name, record.previous_account.name) == ("svc-b", "svc-a")
    assert (record.slots.previous, record.slots.candidate) == (old, "")
    assert server.states(change.id) == ["applied"]
    early = erase(server)
    await hours(server, rig, 3)
    assert server.states(early) == ["failed"]
    assert record.watch.state is ChangeState.COMMITTED
    rig.restart()
    await hours(server, rig, 2)
    assert server.states(change.id) == ["applied", "verified"]
    assert "verified" in status_of(rig.agent.record, rig.clock.now()).change
    late = erase(server)
    await hours(server, rig, 2)
    record = rig.agent.record
    assert server.states(late) == ["applied"]
    assert (record.slots.previous, record.previous_account) == ("", None)
    assert b"first-Secret" not in rig.database.content
    assert record.slots.factory == old
    assert server.only.bodies[-1].account == "CORP\\svc-b"


async def test_three_good_check_ins_without_a_restart_verify_nothing_and_a_restart_without_them_neither():
    server = windows_server()
    rig = await enrolled(server)
    change = server.move(server.only, account=ACCOUNT_B)
    await hours(server, rig)
    rig.restart()
    await hours(server, rig)
    assert "verified" not in server.states(change.id)
    assert "watched: 2 of 3" in five_lines(status_of(rig.agent.record, rig.clock.now()))
    await hours(server, rig, 3)
    assert server.states(change.id) == ["applied", "verified"]


async def test_from_windows_mode_to_tokens_on_an_endpoint_that_never_had_one():
    server = windows_server()
    rig = await enrolled(server)
    change = server.move(server.only, urls=(NEW,))
    server.requests.clear()
    await hours(server, rig)
    tokens = [host for host, path in server.requests if path == "/oauth/token"]
    assert set(tokens) == {"new.example.com"}
    record = rig.agent.record
    assert (record.mode, record.account_password, record.credential_generation) == (Mode.OAUTH, "", 0)
    assert record.previous_account.password == "first-Secret"
    logons = len(server.logons)
    server.dead_hosts = {"old.example.com"}
    await hours(server, rig, 3)
    assert len(server.logons) == logons
    assert (server.only.bodies[-1].account, server.only.bodies[-1].credential_generation) == ("", 0)
    assert server.states(change.id)[-1] == "applied"
    rig.restart()
    await hours(server, rig, 2)
    erase(server)
    await hours(server, rig, 2)
    assert b"first-Secret" not in rig.database.content


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_access_that_dies_while_it_is_watched_is_taken_back(restarts):
    server = windows_server()
    rig = await enrolled(server)
    before = rig.agent.record
    change = server.move(server.only, urls=(NEW,))
    await hours(server, rig)
    server.dead_hosts = {"new.example.com"}
    for _ in range(3):
        if restarts:
            rig.restart()
        await hours(server, rig)
    await hours(server, rig)
    record = rig.agent.record
    assert (record.slots.current, record.mode) == (before.slots.current, before.mode)
    assert record.credential == before.credential
    assert server.states(change.id) == ["applied", "reverted"]
    assert record.failures == 0
    status = status_of(record, rig.clock.now())
    assert "taken back" in status.change
    assert "taken back" in five_lines(status)


@pytest.mark.parametrize("account", [ACCOUNT_B, None])
async def test_an_outage_of_the_servers_that_both_know_says_nothing_about_a_new_access(account):
    server = windows_server()
    rig = await enrolled(server)
    change = server.move(server.only, account=account)
    await hours(server, rig)
    taken = rig.agent.record.slots.current
    server.dead_hosts = {"old.example.com"}
    for _ in range(5):
        rig.restart()
        await hours(server, rig)
    assert rig.agent.record.watch.missed == 0
    server.dead_hosts = set()
    await hours(server, rig, 5)
    assert (rig.agent.record.slots.current, rig.agent.record.failures) == (taken, 0)
    assert server.states(change.id)[-1] == "verified"


async def test_another_url_or_another_authority_is_another_server():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, account=ACCOUNT_B)
    await hours(server, rig)
    record = rig.agent.record
    assert same_servers(record)
    in_use = profile_in(chain_of(record), record.slots.current).profile
    for other in (replace(in_use, ca="another"), replace(in_use, urls=(*in_use.urls, NEW))):
        statement = server.keyset.sign(PROFILE_TYP, other)
        assert not same_servers(replace(record, slots=replace(record.slots, previous=statement)))
    assert not same_servers(replace(record, slots=replace(record.slots, previous="")))


async def test_a_refused_access_is_taken_back_at_once_and_the_old_one_is_not_held():
    server = windows_server()
    rig = await enrolled(server)
    change = server.move(server.only, account=ACCOUNT_B)
    server.say_instead = lambda path: None
    await hours(server, rig)
    server.accounts["CORP\\svc-b"] = replace(ACCOUNT_B, password="other")
    await hours(server, rig)
    assert rig.agent.record.account_name == "svc-a"
    assert rig.agent.record.failures == 0
    assert server.states(change.id) == ["applied", "reverted"]


async def test_what_was_taken_back_stays_as_a_way_and_the_next_change_goes_through():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, urls=(NEW,))
    await hours(server, rig)
    lost = rig.agent.record.slots.current
    server.dead_hosts = {"new.example.com"}
    await hours(server, rig, 4)
    assert rig.agent.record.slots.previous == lost
    again = server.move(server.only, urls=("https://third.example.com",), account=ACCOUNT_B)
    await hours(server, rig)
    assert server.states(again.id) == ["applied"]
    assert rig.agent.record.account_name == "svc-b"
    assert rig.agent.record.previous_account.name == "svc-a"


async def test_a_second_change_before_the_first_has_worked_keeps_the_way_back_that_did():
    server = windows_server()
    rig = await enrolled(server)
    works = rig.agent.record.slots.current
    server.move(server.only, urls=(NEW,))
    await hours(server, rig)
    server.move(server.only, urls=("https://third.example.com",))
    await hours(server, rig)
    assert rig.agent.record.slots.previous == works
    assert rig.agent.record.previous_account.name == "svc-a"
    server.dead_hosts = {"third.example.com"}
    await hours(server, rig, 4)
    assert (rig.agent.record.slots.current, rig.agent.record.account_name) == (works, "svc-a")


@pytest.mark.parametrize("kind", ["account_refused", "account_not_allowed", "mode_closed"])
async def test_a_refused_probe_fails_at_once_and_nothing_moves(kind):
    server = windows_server()
    rig = await enrolled(server)
    before = rig.agent.record
    server.fail_probe = lambda _host: Refusal(RefusalClass(kind), "no")
    change = server.move(server.only, urls=(NEW,), account=ACCOUNT_B)
    await hours(server, rig, 2)
    assert sum(path == "/endpoint/v1/probe" for _, path in server.requests) == 1
    assert server.states(change.id) == ["failed"]
    assert kind in server.only.results[-1].detail
    assert rig.agent.record.slots == before.slots
    assert b"second-Secret" not in rig.database.content
    assert "failed" in status_of(rig.agent.record, rig.clock.now()).change


async def test_a_wrong_password_is_presented_once_and_held():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, account=ACCOUNT_B)
    server.accounts["CORP\\svc-b"] = replace(ACCOUNT_B, password="other")
    logons = len(server.logons)
    await hours(server, rig, 3)
    assert len(server.logons) - logons == 1 + 3  # the probe's, and those of the ordinary check-ins
    assert rig.agent.record.probe_hold.account == "CORP\\svc-b"
    assert rig.agent.record.account_name == "svc-a"


async def test_a_server_that_is_down_is_tried_four_times_while_check_ins_go_on():
    server = windows_server()
    rig = await enrolled(server)
    server.dead_hosts = {"new.example.com"}
    change = server.move(server.only, urls=(NEW,))
    tries = []
    for _ in range(8):
        pass_time(server, rig, await rig.visit() if tries else HOUR)
        tries.append(sum(host == "new.example.com" for host, _ in server.requests))
    await hours(server, rig)
    assert sum(host == "new.example.com" for host, _ in server.requests) == 4
    assert server.states(change.id)[-1] == "failed"
    assert rig.agent.record.failures == 0
    assert server.requests[-1][0] == "old.example.com"


async def test_any_url_of_the_candidate_may_pass():
    server = windows_server()
    rig = await enrolled(server)
    server.dead_hosts = {"new.example.com"}
    change = server.move(server.only, urls=(NEW, "https://second.example.com"), account=ACCOUNT_B)
    await hours(server, rig, 2)
    assert server.states(change.id) == ["applied"]
    assert rig.agent.record.failures == 0


@pytest.mark.parametrize("answer", [b"{}", b"no json", b""])
async def test_a_stranger_that_says_yes_is_not_believed(answer):
    server = windows_server()
    rig = await enrolled(server)
    server.fail_probe = lambda _host: Answer(200, answer)
    before = rig.agent.record.slots
    change = server.move(server.only, urls=(NEW,), account=ACCOUNT_B)
    await hours(server, rig, 6)
    assert rig.agent.record.slots == before
    assert server.states(change.id)[-1] == "failed"


async def test_the_proof_of_another_endpoint_or_of_another_probe_is_not_believed():
    server = windows_server()
    rig = await enrolled(server)
    seen: list[Answer] = []
    genuine = server._probe

    def probing(request: httpx2.Request) -> Answer:
        answer = genuine(request)
        seen.append(answer)
        good = [one for one in seen if one.status == 200]
        return good[0] if good and answer.status == 200 else answer

    server._probe = probing
    for _ in range(2):
        change = server.move(server.only, account=replace(ACCOUNT_B, generation=2))
        pass_time(server, rig, 1.0)
        rig.agent.make_due()
        await rig.visit()
    rig.agent.make_due()
    await rig.visit()
    assert server.states(change.id) == ["received"]
    assert rig.agent.record.change.state is ChangeState.STAGED
    assert "another" in rig.agent.record.change.reason
    assert "in hand" in status_of(rig.agent.record, rig.clock.now()).change


async def test_a_newer_change_takes_the_place_of_one_that_waits():
    server = windows_server()
    rig = await enrolled(server)
    server.dead_hosts = {"new.example.com"}
    first = server.move(server.only, urls=(NEW,))
    pass_time(server, rig, HOUR)
    await rig.visit()
    second = server.move(server.only, urls=("https://third.example.com",))
    rig.agent.make_due()
    await rig.visit()
    await hours(server, rig)
    assert server.states(first.id)[-1] == "failed"
    assert server.states(second.id) == ["applied"]


async def test_an_older_record_still_opens_and_a_record_shows_no_secret():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, account=ACCOUNT_B, urls=(NEW,))
    server.dead_hosts = {"new.example.com"}
    await hours(server, rig)
    record = rig.agent.record
    assert record.change.account is not None
    for shown in (repr(record), repr(record.change), repr(record.change.account)):
        assert "Secret" not in shown
    old = {"installation": "i", "root": "r", "delegations": [], "slots": {"factory": "f", "current": "c"}}
    assert decode_record(httpx2.Response(200, json=old).content) == Record(
        "i", "r", (), record.slots.__class__("f", "c")
    )
    assert decode_record(encode_record(record)) == record
