"""Every route by which an administrator changes something leaves one record of its act; what is refused, one too."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import pytest
from tests.support.authenticator import code_of
from tests.support.conformity import DOCUMENT, Conformity
from tests.support.mortal_site import DeadError, Fate, MortalSite
from tests.support.town import ACCOUNT, Town
from tests.support.witness import founded

from keyfast.api.acts import ACTS, CHANGE_NOTHING, demand_listed
from keyfast.api.routes import ADMIN_ROUTES
from keyfast.core.audit import AuditRecord, Entry
from keyfast.core.audit_actions import ACTIONS
from keyfast.core.caller import Caller, WayIn
from keyfast.core.endpoint import EndpointState
from keyfast.core.incident import Incident, IncidentState
from keyfast.core.person import Person
from keyfast.core.role import Permission, Role
from keyfast.core.roll_call import Kind
from keyfast.core.secret import Secret
from keyfast.errors import ApprovalNeededError
from keyfast.server.compose_admin import AdminParts
from keyfast.services.approvals import Wanted
from keyfast.simulation.endpoint import Endpoint
from keyfast.simulation.habits import DAY
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.store import endpoints, incidents, installations, passkeys
from keyfast.store import people as store_people
from keyfast.store.incidents import IncidentRow
from keyfast.store.passkeys import PasskeyRow
from keyfast.wire.admin import Changed, ModeLine
from keyfast.wire.audit import Verified

KEY = f"LOCAL\\{ACCOUNT}"
OTHER, SECRET, NEWER = "svc-b", "Second-Passw0rd-9", "Third-Passw0rd-9"
PASSPHRASE = "a long passphrase of five words"
HOLDS = {"soak_s": 0, "drain_s": 0, "refused_s": 0, "backup_s": 0, "publish_s": 0, "restart_proof": False}
ALL_AT_ONCE = {"canary_percent": 100, "canary_most": 9}
PERSON = "alice"
ADMINISTRATOR = ("local administrator", "local socket", "administrator")
INVITED = ("whoever has the invitation", "https", "")
WINDOW = {"reason": "they went silent", "minutes": 60, "ranges": ["any"], "account": ACCOUNT}
PASSKEY = "3f2f6f3c-6a49-4b8f-9d3c-1c7f1d1f0a01"
SILENCE = Incident("3f2f6f3c-6a49-4b8f-9d3c-1c7f1d1f0a02", Kind.SITE, "192.0.2.0/24", IncidentState.OPEN, *(1,) * 8)


class Story:
    """What an administrator does, and what the trail says of it."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.done: set[tuple[str, str]] = set()
        self.conformity = Conformity()

    @property
    def admin(self) -> AdminParts:
        return self.town.site._admin

    def call(self, method: str, path: str, body: object = None) -> httpx2.Response:
        async def asked() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.admin.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://keyfast") as http:
                return await http.request(method, path, json=body)

        answer = self.town.run(asked())
        assert isinstance(answer, httpx2.Response)
        self.conformity.judge(method, path, answer)
        if answer.is_success:
            self.conformity.judge_body(method, path, body)
        return answer

    def trail(self, after: int = 0) -> list[AuditRecord]:
        page = msgspec.json.decode(self.call("GET", "/admin/v1/audit?limit=1000").content, type=list[Entry])
        return [entry.record for entry in reversed(page) if entry.record.number > after]

    def act(self, route: str, body: object = None, part: str = "", ident: str = "") -> Any:
        """Call a route; exactly one record of its act is left, and all that it left is of one request."""
        before = len(self.trail())
        method, _, path = route.partition(" ")
        place = path.replace("{id}", ident).replace("{event}", part).replace("{act}", part).replace("{name}", PERSON)
        answer = self.call(method, place, body if body is not None or method == "GET" else {})
        assert answer.is_success, answer.text
        known = ACTS[route]
        action = known if isinstance(known, str) else known[part]
        left = self.trail(before)
        (record,) = [record for record in left if record.action == action]
        who = INVITED if route.endswith("/join") else ADMINISTRATOR
        assert {(found.actor, found.via, found.role, found.outcome, found.request) for found in left} == {
            (*who, "done", record.request)
        }
        assert record.subject_kind == ACTIONS[action].subject
        assert bool(record.subject) is (record.subject_kind != "installation")
        self.done.add((route, part))
        return msgspec.json.decode(answer.content) if method == "POST" else None

    def refused(self, path: str, body: object, action: str, subject: str = "") -> str:
        """Call a route that refuses; exactly one record says so, and why."""
        before = len(self.trail())
        assert self.call("POST", path, body).is_client_error
        (record,) = self.trail(before)
        assert (record.action, record.outcome, record.subject) == (action, "refused", subject)
        return record.detail["why"]

    def rotation(self, ident: str) -> dict[str, Any]:
        view: dict[str, Any] = self.call("GET", f"/admin/v1/rotations/{ident}").json()
        return view

    def reach(self, ident: str, state: str, *present: Endpoint) -> None:
        """Let time pass until a rotation is in a state."""
        end = self.town.time.now + 3 * DAY
        while self.rotation(ident)["state"] != state:
            assert self.town.time.now < end, self.rotation(ident)
            for endpoint in present:
                self.town.visit(endpoint)
            self.town.let_pass(3600)


@pytest.fixture
def story(tmp_path) -> Iterator[Story]:
    town = Town(tmp_path / "server", "windows")
    yield Story(town)
    town.close()


def test_every_route_leaves_one_record_of_its_act(story):
    keys(story)
    accounts_and_modes(story)
    packages(story)
    people(story)
    approvals(story)
    an_incident(story)
    first = story.town.join()
    about_an_endpoint(story, first.record.endpoint_id)
    about_the_server(story)
    a_window(story)
    rotations_that_come_to_nothing(story)
    a_rotation(story, first)
    a_recovery(story)
    every = {(route, part) for route, known in ACTS.items() for part in ([""] if isinstance(known, str) else known)}
    assert story.done == every
    found = msgspec.json.decode(story.call("GET", "/admin/v1/audit/verify").content, type=Verified)
    assert (found.done, found.broken, found.upto.number) == (True, 0, len(story.trail()))
    secrets = (SECRET, NEWER, PASSPHRASE)
    assert not [text for text in secrets if text in story.call("GET", "/admin/v1/audit/export").text]
    by_itself = {record.action for record in story.trail() if record.actor == "keyfast"}
    assert {"rotation_trusted", "rotation_acted", "rotation_converged"} <= by_itself
    what_changes_nothing(story)
    told = {known["operationId"] for path in DOCUMENT["paths"].values() for known in path.values()}
    assert story.conformity.seen == told - {"admin.introspect"}  # of a token; test_server_oauth asks it


def keys(story: Story) -> None:
    story.act("POST /admin/v1/keys/rotate", {"role": "command"})
    export = story.act("POST /admin/v1/keys/export", {"passphrase": PASSPHRASE})["export"]
    story.act("POST /admin/v1/keys/remove-root")
    story.act("POST /admin/v1/keys/import", {"passphrase": PASSPHRASE, "export": export})
    story.act("POST /admin/v1/keys/rewrap")


def accounts_and_modes(story: Story) -> None:
    for name in (OTHER, "svc-c"):
        story.act("POST /admin/v1/directory/accounts", {"name": name, "password": SECRET})
        story.town.run(story.town.site.set_password(name, SECRET))  # the same, but cheap to try
        story.act("POST /admin/v1/accounts", {"account": name, "password": SECRET})
    story.act("POST /admin/v1/accounts/remove", {"account": "svc-c"})
    story.act("POST /admin/v1/modes/open", {"mode": "oauth", "ring": "lab"})
    story.act("POST /admin/v1/modes/close", {"mode": "windows", "ring": "lab"})


def packages(story: Story) -> None:
    made = story.act("POST /admin/v1/packages", {"mode": "oauth"})
    story.act("GET /admin/v1/packages/{id}/file", ident=made["id"])
    story.act("POST /admin/v1/packages/{id}/revoke", ident=made["id"])


def people(story: Story) -> None:
    """Somebody is invited, comes, proves more, and is switched off and on again."""
    one = "POST /admin/v1/people/{name}"
    invited = story.act("POST /admin/v1/people", {"name": PERSON, "role": "operator"})
    story.act("POST /admin/v1/join", {"code": invited["code"], "password": PASSPHRASE})
    story.act(one, {"role": "administrator"})
    made = story.act("POST /admin/v1/tokens", {"person": PERSON, "name": "t", "scopes": ["read"], "days": 1})
    story.act("POST /admin/v1/tokens/{id}/revoke", ident=made["line"]["id"])
    begun = story.town.run(story.admin.sign_in.begin(PERSON, Secret(PASSPHRASE.encode()), "", "192.0.2.1"))
    assert [(record.action, record.actor, record.via) for record in story.trail()][-1] == ("signed_in", PERSON, "https")
    story.act("POST /admin/v1/sessions/{id}/end", ident=begun.id)
    uri = story.call("POST", f"/admin/v1/people/{PERSON}/second-factor").json()["uri"]
    (secret,) = parse_qs(urlsplit(uri).query)["secret"]
    story.act(f"{one}/second-factor/confirm", {"code": code_of(secret, story.town.time.now)})
    passkey = story.town.run(with_a_passkey(story))
    story.act(f"{one}/passkeys/{{id}}/remove", ident=passkey)
    for part in ("reset", "disable", "enable"):
        story.act(f"{one}/{part}")


async def with_a_passkey(story: Story) -> str:
    async with story.town.site._parts.database.write() as conn:
        row = await store_people.by_name(conn, PERSON)
        assert row is not None
        assert await passkeys.add(conn, PasskeyRow(b"c", PASSKEY, row.id, "key", b"k", 0, 1))
    return PASSKEY


def approvals(story: Story) -> None:
    """What two others ask for is agreed to, or not."""
    asking = Caller(Person("1", PERSON, Role.ADMINISTRATOR), WayIn.TOKEN)
    for act in ("approve", "deny"):
        wanted = Wanted(Permission.WINDOW_OPEN, "POST /admin/v1/windows/open", b"digest", "they are silent", "")
        with pytest.raises(ApprovalNeededError) as needed:
            story.town.run(story.admin.console.approvals.demand(asking, wanted))
        story.act(f"POST /admin/v1/approvals/{{id}}/{act}", ident=needed.value.approval)


def an_incident(story: Story) -> None:
    async def opened() -> None:
        async with story.town.site._parts.database.write() as conn:
            await incidents.put(conn, IncidentRow(SILENCE, ()))

    story.town.run(opened())
    story.act("POST /admin/v1/incidents/{id}/close", ident=SILENCE.id)


def about_an_endpoint(story: Story, ident: str) -> None:
    story.act("POST /admin/v1/endpoints/{id}/check-in-now", ident=ident)
    story.act("POST /admin/v1/endpoints/{id}/renew-key", ident=ident)
    story.act("POST /admin/v1/endpoints/{id}/{event}", part="revoke", ident=ident)
    story.act("POST /admin/v1/endpoints/{id}/{event}", part="reinstate", ident=ident)
    for part, state in (("clear", EndpointState.CLONE_SUSPECT), ("approve", EndpointState.PENDING)):
        story.town.run(moved(story, ident, EndpointState.ACTIVE, state))
        story.act("POST /admin/v1/endpoints/{id}/{event}", part=part, ident=ident)
    story.town.run(moved(story, ident, EndpointState.REGISTERED, EndpointState.ACTIVE))


async def moved(story: Story, ident: str, before: EndpointState, after: EndpointState) -> None:
    async with story.town.site._parts.database.write() as conn:
        assert await endpoints.set_state(conn, ident, before, after)


def about_the_server(story: Story) -> None:
    async def went_back() -> None:
        async with story.town.site._parts.database.write() as conn:
            await installations.set_epoch(conn, 1, int(story.town.time.now))

    story.town.run(story.town.site._check_in.voice.tell())
    (node,) = story.call("GET", "/admin/v1/nodes").json()
    story.act("POST /admin/v1/nodes/forget", {"name": node["name"]})
    story.act("POST /admin/v1/policy", {"check_in_interval_s": 3600})
    story.act("POST /admin/v1/notifications/test")
    story.town.run(went_back())
    story.act("POST /admin/v1/installation/end-recovery")


def a_window(story: Story) -> None:
    opened = story.act("POST /admin/v1/windows/open", WINDOW)
    story.act("POST /admin/v1/windows/close", {"despite_unproven": 1})
    assert opened["line"]["id"] in {record.subject for record in story.trail() if record.action == "window_closed"}


def planned(story: Story, **order: object) -> str:
    plan = {"kind": "account", "source": KEY, "target": f"LOCAL\\{OTHER}"} | HOLDS | ALL_AT_ONCE | order
    return str(story.act("POST /admin/v1/rotations", plan)["id"])


def rotations_that_come_to_nothing(story: Story) -> None:
    rotation = planned(story, approvals=2)
    story.act("POST /admin/v1/rotations/{id}/approve", {"name": "ben"}, ident=rotation)
    story.act("POST /admin/v1/rotations/{id}/{act}", part="abandon", ident=rotation)
    rotation = planned(story)
    story.act("POST /admin/v1/rotations/{id}/{act}", part="start", ident=rotation)
    story.reach(rotation, "canary")
    for part in ("pause", "resume"):
        story.act("POST /admin/v1/rotations/{id}/{act}", part=part, ident=rotation)
    story.act("POST /admin/v1/rotations/{id}/hasten", ident=rotation)
    story.act("POST /admin/v1/rotations/{id}/{act}", part="roll-back", ident=rotation)
    story.reach(rotation, "abandoned", *story.town.endpoints)


def a_rotation(story: Story, present: Endpoint) -> None:
    away = story.town.join()
    rotation = planned(story)
    story.act("POST /admin/v1/rotations/{id}/{act}", part="start", ident=rotation)
    story.reach(rotation, "canary", present)
    named = {"endpoints": [away.record.endpoint_id], "reason": "in a cupboard"}
    story.act("POST /admin/v1/rotations/{id}/waive", named, ident=rotation)
    story.reach(rotation, "draining", present)
    for part in ("", "retrust", "", "finish"):
        settled(story, present)
        story.act(f"POST /admin/v1/rotations/{{id}}/{'{act}' if part else 'retire'}", part=part, ident=rotation)
    story.reach(rotation, "done", present)


def settled(story: Story, present: Endpoint) -> None:
    """Whatever was decided is done, and the endpoint has checked in again and again."""
    for _ in range(6):
        story.town.visit(present)
        story.town.let_pass(12 * 3600)


def a_recovery(story: Story) -> None:
    """The other account's password is changed; later another recovery was planned, and not begun."""
    story.act("POST /admin/v1/directory/accounts", {"name": OTHER, "password": NEWER})
    story.town.let_pass(60)
    story.act("POST /admin/v1/recovery/begin", {"account": OTHER, "way": "oauth"})
    for endpoint in story.town.endpoints:
        settled(story, endpoint)
    story.act("POST /admin/v1/recovery/finish", {"despite_unproven": 0})
    story.act("POST /admin/v1/rotations", {"kind": "recovery", "source": f"LOCAL\\{OTHER}", "mode": "oauth"})
    story.act("POST /admin/v1/recovery/resume")


def what_changes_nothing(story: Story) -> None:
    """Everything is read that can be read, by the ids that the lists name."""
    lists = ("endpoints", "packages", "rotations", "incidents")
    numbers = {name: story.call("GET", f"/admin/v1/{name}").json()[0]["id"] for name in lists}
    for row in ADMIN_ROUTES:
        noun = row.path.split("/")[3] if row.path.startswith("/admin") else ""
        if row.method == "GET":
            query = f"?account=LOCAL%5C{OTHER}" if row.handler == "access.account_history" else ""
            story.call("GET", row.path.format(id=numbers.get(noun, ""), name=PERSON, number=1) + query)
    story.call("POST", "/admin/v1/accounts/check", {"account": f"LOCAL\\{OTHER}"})
    story.call("POST", "/admin/v1/rotations/preview", {"kind": "oauth", "source": f"LOCAL\\{OTHER}"})
    story.call("POST", "/admin/v1/packages/verify", {"sha256": "0" * 64})
    story.call("POST", "/admin/v1/searches", {"name": "open", "search": {"disks": "exposed"}})
    story.call("GET", "/admin/v1/searches")
    story.call("POST", "/admin/v1/searches/open/remove")


def test_what_is_refused_is_on_record_with_the_reason(story):
    ident = story.town.join().record.endpoint_id
    why = story.refused("/admin/v1/modes/close", {"mode": "windows"}, "mode_closed", "windows")
    assert "would go silent" in why
    why = story.refused("/admin/v1/accounts/remove", {"account": KEY}, "account_removed", KEY)
    assert "endpoints" in why
    story.refused(f"/admin/v1/endpoints/{ident}/reinstate", {}, "endpoint_reinstated", ident)
    story.refused("/admin/v1/accounts", {"account": KEY, "password": "Wr0ng-Passw0rd"}, "account_added", KEY)
    story.refused("/admin/v1/keys/export", {"passphrase": "too short"}, "keys_exported")
    story.refused("/admin/v1/windows/open", WINDOW | {"reason": ""}, "window_opened")
    story.refused("/admin/v1/installation/end-recovery", {}, "server_recovery_ended")
    told = story.call("GET", "/admin/v1/audit/export").text
    assert "too short" not in told
    assert "Wr0ng" not in told


def test_what_only_asks_or_asks_for_nothing_that_exists_or_comes_from_a_stranger_leaves_no_record(story):
    story.town.join()
    before = len(story.trail())
    for path, body in (
        ("/admin/v1/accounts/check", {"account": KEY}),
        ("/admin/v1/rotations/preview", {"kind": "oauth", "source": KEY}),
        ("/admin/v1/endpoints/nobody/revoke", {}),
        ("/admin/v1/endpoints/nobody/no-such-act", {}),
        ("/admin/v1/nodes/forget", {"name": "nobody"}),
        ("/admin/v1/join", {"code": "kfi_no-invitation", "password": PASSPHRASE}),
        ("/admin/v1/join", {"nothing": "that this asks for"}),
    ):
        assert story.call("POST", path, body).status_code != 500
    assert len(story.trail()) == before


def test_every_writing_route_is_known():
    routes = {f"{row.method} {row.path}" for row in ADMIN_ROUTES}
    assert set(ACTS) | CHANGE_NOTHING <= routes
    writing = {f"{row.method} {row.path}" for row in ADMIN_ROUTES if row.method != "GET"}
    assert writing <= set(ACTS) | CHANGE_NOTHING
    with pytest.raises(LookupError):
        demand_listed("POST", "/admin/v1/something-new")
    acts = {act for known in ACTS.values() for act in ([known] if isinstance(known, str) else known.values())}
    assert acts <= set(ACTIONS)


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_server_that_dies_leaves_change_and_record_or_neither(tmp_path, after_commit):
    (tmp_path / "server").mkdir(mode=0o700)
    fate = Fate()
    site = MortalSite(founded(tmp_path / "server", {}), VirtualTime(START), "always", fate)

    async def life():
        await site.start()
        fate.die_at, fate.after_commit = fate.writes + 1, after_commit
        with pytest.raises(DeadError):
            await site.post("/admin/v1/modes/open", Changed, {"mode": "oauth", "ring": "lab"})
        await site.come_back()
        rings = {mode.ring for mode in await site.get("/admin/v1/modes", list[ModeLine])}
        entries = await site.get("/admin/v1/audit", list[Entry])
        await site.stop()
        return "lab" in rings, [entry.record.detail for entry in entries if entry.record.detail]

    assert asyncio.run(life()) == ((True, [{"ring": "lab"}]) if after_commit else (False, []))
