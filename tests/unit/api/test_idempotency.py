"""A write that is sent again under its key is answered again: every route, over both databases."""

import asyncio
import os
from types import SimpleNamespace

import httpx2
import pytest
from starlette.responses import StreamingResponse
from tests.support.databases import KINDS, new_database, some_id
from tests.support.office import Office

from keyfast.api import routes
from keyfast.api.acts import WRITING
from keyfast.api.admin_api import ok
from keyfast.api.gate import BearerDoor
from keyfast.api.routes import AdminHandlers, Who, admin_app
from keyfast.core.caller import LOCAL
from keyfast.core.idempotency import KEPT_SECONDS, MAX_ANSWER
from keyfast.core.role import ROLES, Permission, Role
from keyfast.errors import ConflictError, KeyFileError, NotReadyError
from keyfast.services.approvals import ApprovalService
from keyfast.services.idempotency import KeptAnswers
from keyfast.store import events
from keyfast.store.database import Database
from keyfast.wire.idempotency import KEY_HEADER, REPLAYED_HEADER
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER, TokenOrder

WRITES = [row for row in routes.ADMIN_ROUTES if row.method in WRITING]
OPEN = next(row for row in WRITES if row.permission is Permission.WINDOW_OPEN)
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
PASSPHRASE = "a long passphrase of five words"


class Trail:
    """Holds what was refused, in the trail's place."""

    def __init__(self):
        self.acts = []

    async def refused(self, action, asked, actor, why):
        self.acts.append(action)


class Handlers:
    """In every handler's place: counts, and does what a test says."""

    def __init__(self):
        self.calls = 0
        self.trail = Trail()
        self.told_to = None

    def __getattr__(self, name):
        async def handler(request):
            self.calls += 1
            body = await request.body()
            if self.told_to is not None:
                return await self.told_to(request)
            return ok({"call": self.calls, "body": len(body)})

        return handler


class Desk(Office):
    """An office whose admin API is asked over the network, or over the socket."""

    def __init__(self, database):
        super().__init__(database)
        self.handlers = Handlers()
        everywhere = SimpleNamespace(**dict.fromkeys(AdminHandlers.__dataclass_fields__, self.handlers))
        answers = KeptAnswers(database, lambda: self.kek, self.clock)
        self.approvals = ApprovalService(database, lambda: self.kek, {Permission.WINDOW_OPEN}, self.clock, os.urandom)
        self.local = admin_app(everywhere, answers, self.clock)
        door = BearerDoor(self.tokens)
        self.far = admin_app(everywhere, answers, self.clock, door=door, approvals=self.approvals)

    async def bearer(self, name):
        await self.hire(name, Role.ADMINISTRATOR)
        scopes = tuple(ROLES[Role.ADMINISTRATOR])
        return (await self.tokens.create(TokenOrder(name, "t", scopes, 1), "test")).token

    async def ask(self, row=OPEN, key=KEY, body=b"{}", *, token="", path="", **headers):
        sent = {"content-type": "application/json", **headers} | ({KEY_HEADER: key} if key else {})
        if token:
            sent |= {"authorization": f"Bearer {token}", REASON_HEADER: "because"}
        app = self.far if token else self.local
        url = path or row.path.format(id=some_id(), name="somebody", event="approve", act="start")
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://k") as http:
            return await http.request(row.method, url, content=body, headers=sent)

    async def change(self):
        async with self.database.write() as conn:
            await events.add(conn, at=self.now, kind="node_forgotten", endpoint_id=None, detail={"node": "n"})


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def desk(url):
    database = await Database.open(url)
    yield Desk(database)
    await database.close()


def is_replay(answer):
    return answer.headers.get(REPLAYED_HEADER) == "true"


async def test_every_writing_route_acts_once_for_a_key(desk):
    """Also those that are for anyone: an invitation is taken up once, and told so as often as it is asked."""
    assert len(WRITES) > 40
    for number, row in enumerate(WRITES):
        path = row.path.format(id="1", name="somebody", event="approve", act="start")
        key = f"{KEY}-{number}"
        first = await desk.ask(row, key, path=path)
        again = await desk.ask(row, key, path=path)
        assert (first.status_code, is_replay(first), is_replay(again)) == (200, False, True), row
        assert (again.status_code, again.content) == (200, first.content)
        headers = [(name, value) for name, value in again.headers.items() if name != REPLAYED_HEADER]
        assert headers == list(first.headers.items())
        assert desk.handlers.calls == number + 1
        other = await desk.ask(row, key, b'{"a":1}', path=path)
        assert (other.status_code, other.json()["class"]) == (422, "key_reused")
        malformed = await desk.ask(row, "short", path=path)
        assert (malformed.status_code, malformed.json()["class"]) == (400, "usage")
    assert desk.handlers.calls == len(WRITES)


async def test_without_a_key_each_request_acts(desk):
    for number in range(2):
        assert (await desk.ask(key="")).json()["call"] == number + 1


async def test_a_key_is_the_same_with_and_without_quotation_marks(desk):
    await desk.ask(key=KEY)
    assert is_replay(await desk.ask(key=f'"{KEY}"'))


async def test_two_keys_are_none(desk):
    transport = httpx2.ASGITransport(desk.local)
    async with httpx2.AsyncClient(transport=transport, base_url="http://k") as http:
        answer = await http.post(OPEN.path, headers=[(KEY_HEADER, KEY)] * 2)
    assert (answer.status_code, desk.handlers.calls) == (400, 0)


async def test_of_five_at_once_one_acts(desk):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slowly(request):
        entered.set()
        await leave.wait()
        return ok("done")

    desk.handlers.told_to = slowly
    first = asyncio.create_task(desk.ask())
    await entered.wait()
    others = await asyncio.gather(*(desk.ask() for _ in range(4)))
    assert {(answer.status_code, answer.json()["class"]) for answer in others} == {(409, "look_first")}
    leave.set()
    assert (await first).json() == (await desk.ask()).json() == "done"
    assert desk.handlers.calls == 1
    assert desk.handlers.trail.acts == []  # that it was sent again is no refused act


@pytest.mark.parametrize("fault", [ConflictError("in use"), NotReadyError("the directory is away")])
async def test_a_refusal_that_changed_nothing_leaves_the_key(desk, fault):
    async def refuse(request):
        raise fault

    desk.handlers.told_to = refuse
    for _ in range(2):
        answer = await desk.ask()
        assert (answer.status_code, is_replay(answer)) == (fault.status, False)
    desk.handlers.told_to = None
    assert (await desk.ask()).json()["call"] == 3


async def test_a_refusal_after_something_was_changed_is_the_answer(desk):
    async def half(request):
        await desk.change()
        raise ConflictError("the second half is in use")

    desk.handlers.told_to = half
    first, again = await desk.ask(), await desk.ask()
    assert (again.status_code, again.content, is_replay(again)) == (409, first.content, True)
    assert (desk.handlers.calls, desk.handlers.trail.acts) == (1, ["window_opened"])


@pytest.mark.parametrize("fault", [NotReadyError("the database went away"), KeyFileError("unreadable"), KeyError("x")])
async def test_an_outage_after_something_was_changed_leaves_it_open(desk, fault):
    async def half(request):
        await asyncio.create_task(desk.change())  # in a task of its own, as services do it
        raise fault

    desk.handlers.told_to = half
    assert (await desk.ask()).status_code in {500, 503}
    assert (await desk.ask()).json()["class"] == "look_first"
    assert desk.handlers.calls == 1


async def test_a_commit_whose_outcome_nobody_knows_leaves_it_open(desk, monkeypatch):
    """The connection to the database breaks in the commit: the answer is 503, and yet it may have been done."""

    async def act(request):
        async with desk.database.write() as conn:
            await events.add(conn, at=1, kind="node_forgotten", endpoint_id=None, detail={"node": "n"})
            monkeypatch.setattr(conn.get_transaction(), "commit", lost)

    async def lost():
        raise ConnectionResetError

    desk.handlers.told_to = act
    assert (await desk.ask()).status_code == 503
    assert (await desk.ask()).json()["class"] == "look_first"


async def test_an_answer_that_is_too_large_or_streamed_was_done(desk):
    async def large(request):
        return ok("x" * MAX_ANSWER)

    async def streamed(request):
        return StreamingResponse(iter([b"a", b"b"]))

    for number, act in enumerate((large, streamed)):
        desk.handlers.told_to, key = act, f"{KEY}-{number}"
        assert (await desk.ask(key=key)).status_code == 200
        assert (await desk.ask(key=key)).json()["class"] == "answer_not_kept"
    assert desk.handlers.calls == 2


async def test_an_answer_that_cannot_be_kept_is_given(desk):
    async def act(request):
        desk.kek = None
        return ok("done")

    def unreadable():
        if desk.kek is None:
            raise KeyFileError("unreadable")
        return desk.kek

    kek = desk.kek
    desk.local = admin_app(
        SimpleNamespace(**dict.fromkeys(AdminHandlers.__dataclass_fields__, desk.handlers)),
        KeptAnswers(desk.database, unreadable, desk.clock),
        desk.clock,
    )
    desk.handlers.told_to = act
    assert (await desk.ask()).json() == "done"
    desk.kek = kek
    assert (await desk.ask()).json()["class"] == "look_first"


async def test_keys_are_their_callers_and_so_are_answers(desk):
    ann, ben = await desk.bearer("ann"), await desk.bearer("ben")
    row = next(row for row in WRITES if row.permission is Permission.WINDOW_CLOSE)
    calls = [(await desk.ask(row, token=token)).json()["call"] for token in (ann, ben, "")]
    assert calls == [1, 2, 3]
    await desk.people.disable("ann", "test")
    assert (await desk.ask(row, token=ann)).status_code == 401
    assert is_replay(await desk.ask(row, token=ben))


async def test_what_two_agree_to_is_done_once_and_answered_twice(desk):
    ann = await desk.bearer("ann")
    asked = await desk.ask(token=ann)
    number = asked.json()["approval"]
    await desk.approvals.decide(number, LOCAL, agrees=True)
    claimed = {APPROVAL_HEADER: number}
    first, again = [await desk.ask(token=ann, **claimed) for _ in range(2)]
    assert (first.status_code, again.content, is_replay(again)) == (200, first.content, True)
    assert desk.handlers.calls == 1


async def test_a_stranger_sends_no_more_than_an_invitation_takes(desk):
    join = next(row for row in WRITES if row.who is Who.ANYONE)
    assert (await desk.ask(join, body=b"x" * 5000)).status_code == 400
    assert (await desk.ask(body=b"x" * 5000)).json()["body"] == 5000
    assert desk.handlers.calls == 1


async def test_after_a_day_it_is_done_again(desk):
    await desk.ask()
    desk.now += KEPT_SECONDS
    assert (await desk.ask()).json()["call"] == 2
