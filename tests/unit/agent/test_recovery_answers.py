"""Answers to the question of a recovery: what is believed of them, and what is not."""

import httpx2
import msgspec
import pytest
from msgspec.structs import replace
from tests.support.agent_days import ACCOUNT_B, HOUR, NEW, OLD, RECOVER, enrolled, until_well, visits, windows_server
from tests.support.fake_agent import pass_time
from tests.support.fake_changes import WEEK
from tests.support.fake_server import Answer, FakeServer

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.roles import TIME_TYP
from keyfast.wire.changes import Recovered
from keyfast.wire.messages import SignedTime


@pytest.mark.parametrize("wrong", ["challenge", "signer", "change", "receipt", "garbage"])
async def test_an_answer_that_is_not_signed_right_changes_nothing(wrong):
    server, stranger = windows_server(), FakeServer((OLD,))
    rig = await enrolled(server)
    genuine = server._recover
    server.move(server.only, account=ACCOUNT_B, offer=False)

    def lying(request: httpx2.Request) -> Answer:
        answer = genuine(request)
        if answer.status != 200:
            return answer
        if wrong == "garbage":
            return replace_body(answer, b"{}")
        told = msgspec.json.decode(answer.body, type=Recovered)
        old = SignedTime("inst-test", server.now + 10**9, "another challenge")
        told = {
            "challenge": replace(told, statement=server.keyset.sign(TIME_TYP, old)),
            "signer": replace(
                told, statement=stranger.keyset.sign(TIME_TYP, old), delegations=stranger.keyset.delegations()
            ),
            "change": replace(told, change=told.change[:-4] + "AAAA", epoch=9),
            "receipt": replace(told, receipt=told.change, epoch=9),
        }[wrong]
        return replace_body(answer, msgspec.json.encode(told))

    server._recover = lying
    server.retired = {"CORP\\svc-a"}
    pass_time(server, rig, HOUR)
    before = rig.agent.record
    await visits(server, rig, 3, longest=60)
    after = rig.agent.record
    for name in ("slots", "delegations", "receipt", "epoch", "command_seq", "change", "account_name", "endpoint_id"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.anchor.server < server.now + HOUR
    server._recover = genuine
    await until_well(server, rig)


def replace_body(answer: Answer, body: bytes) -> Answer:
    return Answer(answer.status, body, answer.headers, answer.media)


async def test_the_last_resort_is_tls_that_is_not_verified_and_only_if_no_certificate_holds():
    server = windows_server(OLD, NEW)
    rig = await enrolled(server)
    server.move(server.only, urls=("https://third.example.com",), account=ACCOUNT_B, offer=False)
    server.untrusted_hosts = {"old.example.com"}
    server.dead_hosts = {"new.example.com"}
    pass_time(server, rig, HOUR)
    await visits(server, rig, 4)
    assert not server.recoveries
    server.untrusted_hosts = {"old.example.com", "new.example.com"}
    server.dead_hosts = set()
    server.requests.clear()
    server.epoch = 7
    await until_well(server, rig)
    in_the_open = {path for host, path in server.requests if host in server.untrusted_hosts}
    assert in_the_open == {RECOVER}
    assert rig.agent.record.account_name == "svc-b"


async def test_over_unverified_tls_an_epoch_that_nobody_signed_is_not_believed():
    server = windows_server()
    rig = await enrolled(server)
    server.untrusted_hosts = {"old.example.com"}
    server.epoch = 900
    pass_time(server, rig, HOUR)
    await visits(server, rig, 3)
    assert server.recoveries
    assert rig.agent.record.epoch == 1


async def test_a_restored_server_is_heard_and_its_numbers_start_again():
    server = windows_server()
    rig = await enrolled(server)
    for _ in range(2):
        server.queue(server.only, server.only.command_seq + 1)
        pass_time(server, rig, HOUR)
        await visits(server, rig, 3)
    assert rig.agent.record.command_seq == 2
    server.epoch, server.only.command_seq = 2, 0
    server.retired = {"CORP\\svc-a"}
    change = server.move(server.only, account=ACCOUNT_B, offer=False)
    assert (change.epoch, change.seq) == (2, 1)
    await until_well(server, rig)
    assert (rig.agent.record.epoch, rig.agent.record.command_seq) == (2, 1)


async def test_an_expired_change_is_not_taken_and_a_new_one_is():
    server = windows_server()
    rig = await enrolled(server)
    server.retired = {"CORP\\svc-a"}
    server.move(server.only, account=ACCOUNT_B, offer=False, expires_at=server.now - WEEK)
    pass_time(server, rig, HOUR)
    await visits(server, rig, 3)
    assert rig.agent.record.account_name == "svc-a"
    server.move(server.only, account=ACCOUNT_B, offer=False)
    await until_well(server, rig)
    assert rig.agent.record.account_name == "svc-b"


async def test_an_access_that_passes_its_probe_and_is_refused_for_work_is_not_taken_again_without_a_pause():
    server = windows_server()
    rig = await enrolled(server)
    server.move(server.only, account=ACCOUNT_B, offer=False)
    server.say_instead = lambda path: Refusal(RefusalClass.MODE_CLOSED) if path.endswith("check-in") else None
    pass_time(server, rig, HOUR)
    for _ in range(6):
        probes = len(server.probes)
        wait = await rig.visit()
        assert len(server.probes) <= probes + 1
        assert wait >= 15
        pass_time(server, rig, wait)
    server.say_instead = lambda _path: None
    await until_well(server, rig)
