"""One more URL, which nobody signed: it reaches a server that the profile trusts, and no other."""

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import Rig, pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent.client_database import HeldChange
from keyfast.agent.link import Link
from keyfast.agent.loop import Agent
from keyfast.agent.routes import OVERRIDE, routes
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.wire.bundle import BundleAccount

EXTRA = "https://extra.example.com"


class Extra(Rig):
    def _agent(self):
        link = Link(self.clock, self.new_id, lambda _context: self.transport)
        return Agent(
            self.database, link, self.machine, self.clock, self.random.random, self.new_id, extra_url=EXTRA + "/"
        )


def rig():
    plain = rig_for(FakeServer())
    return Extra(plain.transport, plain.database)


async def test_it_is_tried_after_the_profile_s_own_and_proofs_name_a_url_that_the_server_knows():
    one = rig()
    server = one.transport
    server.dead_hosts = {"kf.example.com"}
    assert await one.visit() > 60
    assert one.agent.record.failures == 0
    assert [way.url for way in routes(one.agent.record, EXTRA)] == ["https://kf.example.com", EXTRA]
    assert routes(one.agent.record, EXTRA)[1].audience == "https://kf.example.com"


async def test_a_change_that_is_watched_is_not_proven_over_it():
    record = rig().agent.record
    watched = replace(record, watch=HeldChange("c", 1, 1, ChangeState.COMMITTED))
    assert OVERRIDE not in {way.slot for way in routes(watched, EXTRA)}


@pytest.mark.parametrize("extra", ["", "http://kf.example.com", "nonsense", "https://", "https://kf.example.com/"])
def test_what_is_no_other_url_of_a_server_is_no_way(extra):
    assert [way.slot for way in routes(rig().agent.record, extra)] == ["current"]


async def test_a_recovery_is_asked_for_over_it_where_no_other_url_leads_anywhere():
    account = BundleAccount("svc", "CORP", "secret", 1)
    server = FakeServer().windows(account, "basic")
    plain = rig_for(server)
    one = Extra(plain.transport, plain.database)
    await one.visit()
    server.dead_hosts = {"kf.example.com"}
    server.move(server.only, account=BundleAccount("svc-b", "CORP", "other", 1), urls=(EXTRA,), offer=False)
    for _ in range(6):
        pass_time(server, one, 3600)
        await one.visit()
    assert ("extra.example.com", "/endpoint/v1/recover") in server.requests
    assert (one.agent.record.account_name, one.agent.record.failures) == ("svc-b", 0)


@pytest.mark.parametrize(("ca", "there"), [("", False), ("PEM", True)])
def test_a_password_goes_there_only_if_the_profile_names_its_authority(ca, there):
    server = FakeServer()
    server.windows(BundleAccount("svc", "CORP", "secret", 1), "basic")
    server.change_profile(server.urls)
    record = rig_for(server).agent.record
    server.change_profile(server.urls, ca)
    record = replace(record, slots=replace(record.slots, current=server.profile, factory=server.profile))
    assert record.mode is Mode.WINDOWS
    assert (OVERRIDE in {way.slot for way in routes(record, EXTRA)}) is there
