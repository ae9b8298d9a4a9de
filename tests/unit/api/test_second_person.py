"""A second person has to agree: over the admin API with tokens, and in the console with forms."""

import asyncio
import json
import os
import re
from dataclasses import replace

import httpx2
import pytest
from msgspec.structs import replace as changed
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from tests.support.console import ConsoleTown
from tests.support.databases import KINDS, new_database
from tests.support.office import Office

from keyfast.api.admin_api import guarded
from keyfast.api.console.app import console_app
from keyfast.api.gate import BearerDoor, Gate, caller_of
from keyfast.core.approval import ASKED_SECONDS, GIVEN_SECONDS
from keyfast.core.caller import LOCAL
from keyfast.core.role import MEANING, Permission, Role
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError
from keyfast.services.approvals import ApprovalService
from keyfast.store.database import Database
from keyfast.trust.kek import Kek
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER, PersonChange, TokenOrder

P = Permission
OTHER_KEY = Secret(bytes([1] * 32))


class Desk(Office):
    """An office where windows are opened by two, and what was done."""

    def __init__(self, database):
        super().__init__(database)
        self.approvals = ApprovalService(database, lambda: self.kek, {P.WINDOW_OPEN}, self.clock, os.urandom)
        self.done = []

    async def bearer(self, name):
        order = TokenOrder(name, "t", ("window.open", "approval.decide"), 1)
        return (await self.tokens.create(order, "test")).token

    async def ask(self, token, body=b'{"hours":1}', *, path="/open", permission=P.WINDOW_OPEN, **headers):
        async def act(request):
            self.done.append((caller_of(request).name, await request.body()))
            return Response("done")

        gate = Gate(BearerDoor(self.tokens), self.clock, None, self.approvals)
        kept = gate.known(gate.allowed(gate.agreed(act, permission), permission))
        app = Starlette(routes=[Route(path, guarded(kept), methods=["POST"])])
        sent = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            REASON_HEADER: "because",
        } | headers
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://k") as http:
            return await http.post(path, content=body, headers=sent)


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def desk(url):
    database = await Database.open(url)
    made = Desk(database)
    for name in ("alice", "bob"):
        await made.hire(name)
    yield made
    await database.close()


async def _caller(desk, token):
    return await desk.tokens.caller_of(Secret(token.encode()))


async def test_it_is_done_once_when_another_person_agreed(desk):
    alice, bob = await desk.bearer("alice"), await desk.bearer("bob")
    asked = await desk.ask(alice)
    assert (asked.status_code, asked.json()["class"], desk.done) == (409, "approval_needed", [])
    number = asked.json()["approval"]
    claim = {APPROVAL_HEADER: number}
    assert (await desk.ask(alice, **claim)).json()["class"] == "approval_needed"
    with pytest.raises(ConflictError, match="not the one who asks"):
        await desk.approvals.decide(number, await _caller(desk, alice), agrees=True)
    line = await desk.approvals.decide(number, await _caller(desk, bob), agrees=True)
    assert (line.state, line.asked_by, line.decided_by, line.reason) == ("given", "alice", "bob", "because")
    for other in (
        desk.ask(bob, **claim),
        desk.ask(alice, b'{"hours":2}', **claim),
        desk.ask(alice, path="/other", **claim),
    ):
        assert (await other).json()["class"] == "conflict"
    assert (await desk.ask(alice, **claim)).text == "done"
    assert desk.done == [("alice", b'{"hours":1}')]
    assert (await desk.ask(alice, **claim)).status_code == 409
    kinds = [kind for kind in await desk.kinds() if kind.startswith("approval")]
    assert kinds == ["approval_asked", "approval_given", "approval_used"]


async def test_two_at_once_do_it_once(desk):
    alice = await desk.bearer("alice")
    number = (await desk.ask(alice)).json()["approval"]
    await desk.approvals.decide(number, LOCAL, agrees=True)
    answers = await asyncio.gather(*(desk.ask(alice, **{APPROVAL_HEADER: number}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert len(desk.done) == 1


async def test_what_was_denied_or_is_too_old_is_not_done(desk):
    alice = await desk.bearer("alice")
    for wait_after, agrees in ((1, False), (GIVEN_SECONDS, True)):
        number = (await desk.ask(alice)).json()["approval"]
        await desk.approvals.decide(number, LOCAL, agrees=agrees)
        desk.now += wait_after
        assert (await desk.ask(alice, **{APPROVAL_HEADER: number})).json()["class"] == "conflict"
    number = (await desk.ask(alice)).json()["approval"]
    desk.now += ASKED_SECONDS - GIVEN_SECONDS
    assert (await desk.approvals.list_("", 1))[0].state == "asked"
    desk.now += GIVEN_SECONDS
    assert [line.state for line in await desk.approvals.list_("", 5)] == ["over", "over", "denied"]


async def test_given_can_be_denied_until_it_is_used(desk):
    alice = await desk.bearer("alice")
    number = (await desk.ask(alice)).json()["approval"]
    await desk.approvals.decide(number, LOCAL, agrees=True)
    await desk.approvals.decide(number, LOCAL, agrees=False)
    assert (await desk.ask(alice, **{APPROVAL_HEADER: number})).status_code == 409
    for gone in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFoundError):
            await desk.approvals.decide(gone, LOCAL, agrees=True)
        assert (await desk.ask(alice, **{APPROVAL_HEADER: gone})).status_code == 404


async def test_keys_that_were_sealed_anew_make_it_nobodys(desk):
    alice = await desk.bearer("alice")
    number = (await desk.ask(alice)).json()["approval"]
    await desk.approvals.decide(number, LOCAL, agrees=True)
    desk.kek = Kek("kf-test", "other", {"other": OTHER_KEY})
    assert (await desk.ask(alice, **{APPROVAL_HEADER: number})).json()["class"] == "conflict"


async def test_what_needs_nobody_asks_nobody(desk):
    await desk.people.change("alice", PersonChange(role=Role.ADMINISTRATOR), "test")
    alice = (await desk.tokens.create(TokenOrder("alice", "t", ("mode.change",), 1), "test")).token
    assert (await desk.ask(alice, permission=P.MODE_CHANGE)).text == "done"
    assert not desk.approvals.needs(LOCAL, P.WINDOW_OPEN)
    assert await desk.approvals.list_("", 5) == []


async def test_what_is_no_json_or_too_large_is_not_asked_for(desk):
    alice = await desk.bearer("alice")
    assert (await desk.ask(alice, b"x" * 300_000)).status_code == 400
    assert (await desk.ask(alice, **{"content-type": "text/plain"})).status_code == 400


async def test_approvals_are_paged(desk):
    alice = await desk.bearer("alice")
    for _ in range(5):
        desk.now += 1
        await desk.ask(alice)
    first = await desk.approvals.list_("", 3)
    rest = await desk.approvals.list_(first[-1].id, 3)
    assert len({line.id for line in first + rest}) == 5
    assert await desk.approvals.list_("nonsense", 3) == await desk.approvals.list_(rest[-1].id[:-1] + "0", 3) == []


def test_in_the_console_the_same_form_is_sent_again(tmp_path):
    town = ConsoleTown(tmp_path / "town")
    try:
        services = town.site._admin.console
        kek = Kek("kf-test", "k", {"k": OTHER_KEY})
        approvals = ApprovalService(services.people._database, lambda: kek, {P.MODE_CHANGE}, town.time, os.urandom)
        town.app = console_app(replace(services, approvals=approvals), town.sign_in, town.time, town.streams)
        town.sign_in.people["boss"] = changed(town.sign_in.people["ada"], id="9", name="boss")
        ada, boss = town.browser("ada"), town.browser("boss")
        asked = ada.post("/settings/modes/open", mode="windows", ring="r", reason="we need it")
        assert asked.status_code == 409
        number = re.search(r'name="approval" value="([0-9a-f-]{36})"', asked.text).group(1)
        assert 'name="mode" value="windows"' in asked.text
        again = {"mode": "windows", "ring": "r", "reason": "we need it", "approval": number}
        assert ada.post("/settings/modes/open", **again).status_code == 409
        assert ada.post(f"/approvals/{number}/approve", reason="I agree with me").status_code == 409
        assert "we need it" in boss.get("/approvals").text
        assert boss.post(f"/approvals/{number}/approve", reason="yes").status_code == 303
        assert ada.post("/settings/modes/open", **again | {"ring": "other"}).status_code == 409
        done = ada.post("/settings/modes/open", **again)
        assert (done.status_code, done.headers["location"]) == (303, "/settings?told=mode"), json.dumps(done.text)
        settings = ada.get("/settings").text
        assert "ring r" in settings
        assert MEANING[P.MODE_CHANGE] in settings
    finally:
        town.close()
