"""Every admin route by every role, by every kind of no sign-in, and by callers of some rings: made from the table."""

import os
from dataclasses import replace
from types import SimpleNamespace

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.support.databases import NOW, endpoint_row, new_database, some_id

from keyfast.api import routes
from keyfast.api.gate import BearerDoor, Gate, caller_of, local_door
from keyfast.api.routes import AdminHandlers, Who, admin_app
from keyfast.core.caller import LOCAL
from keyfast.core.endpoint import EndpointState
from keyfast.core.role import DANGEROUS, PER_RING, ROLES, Permission, Role
from keyfast.errors import ForbiddenError
from keyfast.services.api_tokens import DAY, ApiTokenService
from keyfast.services.people import PeopleService
from keyfast.services.rings import StoredRings
from keyfast.store import endpoints, packages
from keyfast.store.database import Database
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.trust.sign_in import CHEAPEST, Passwords
from keyfast.wire.people import REASON_HEADER, PersonChange, PersonOrder, TokenOrder

REASON = {REASON_HEADER: "because%20I%20must"}
ADMIN_ROUTES = [row for row in routes.ADMIN_ROUTES if row.who is not Who.ANYONE]
DANGEROUS_ROW = next(row for row in ADMIN_ROUTES if row.permission in DANGEROUS)


class Reached:
    """In every handler's place: says who got there."""

    def __getattr__(self, name):
        async def handler(request):
            return Response(caller_of(request).name)

        return handler


class Trail:
    """Holds what was refused, in the trail's place."""

    def __init__(self):
        self.acts = []

    async def refused(self, action, asked, actor, why):
        self.acts.append((action, actor.name, actor.role, why))


def _app(door=None, rings=None, now=lambda: NOW):
    names = AdminHandlers.__dataclass_fields__
    handlers = SimpleNamespace(**{name: Reached() for name in names})
    handlers.audit.trail = Trail()
    return admin_app(handlers, None, now, **({"door": door, "rings": rings} if door else {}))


class Office:
    """A server's people, their tokens, and an application behind the network's door."""

    def __init__(self, database):
        self.now = NOW
        self.database = database
        self.people = PeopleService(database, Passwords(CHEAPEST), self.clock, os.urandom)
        self.tokens = ApiTokenService(database, self.clock, os.urandom)
        self.app = _app(BearerDoor(self.tokens), StoredRings(database), self.clock)
        self.endpoints = {}
        self.packages = {}

    def clock(self):
        return float(self.now)

    async def hire(self, role, rings=(), scopes=None):
        """Somebody with a token, which allows all that they may unless told otherwise."""
        name = f"{role}-{len(rings)}-{os.urandom(4).hex()}"
        await self.people.add(PersonOrder(name, role, rings, "a long enough one"), "test")
        allowed = ROLES[role] & PER_RING if rings else ROLES[role]
        made = await self.tokens.create(TokenOrder(name, "t", tuple(scopes or allowed), 1), "test")
        return name, made

    async def stock(self, ring):
        """An endpoint and a package of a ring."""
        row = endpoint_row(name=f"in-{ring}")
        number = some_id()
        package = PackageRow(number, NOW, "x", "oauth", ring, "auto", "f", "00", None)
        async with self.database.write() as conn:
            await endpoints.insert(conn, replace(row, ring=ring), EndpointState.ACTIVE)
            await packages.create(conn, package, EnrolmentTokenRow(ring, number, NOW, NOW + 9, 1, 0, None))
        self.endpoints[ring], self.packages[ring] = row.id, number

    async def ask(self, row, token=None, path=None, **headers):
        bearer = {"authorization": f"Bearer {token}"} if token else {}
        return await ask(self.app, row, path, **bearer, **headers)


async def ask(app, row, path=None, **headers):
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://keyfast") as http:
        url = path or row.path.format(id=some_id(), name="somebody", event="approve", act="start", number=1)
        return await http.request(row.method, url, headers=headers)


@pytest.fixture
def url(tmp_path):
    return new_database("sqlite", tmp_path)


@pytest.fixture
async def office(url):
    database = await Database.open(url)
    yield Office(database)
    await database.close()


def test_every_admin_route_needs_a_permission():
    assert [row.path for row in ADMIN_ROUTES if row.permission is None] == []
    used = {row.permission for row in ADMIN_ROUTES}
    later = {"self.change", "recovery_key.reveal"}
    assert {permission.value for permission in set(Permission) - used} <= later


@pytest.mark.parametrize("role", Role)
async def test_each_role_reaches_its_routes_and_no_others(office, role):
    name, made = await office.hire(role)
    for row in ADMIN_ROUTES:
        answer = await office.ask(row, made.token, **REASON)
        allowed = row.permission in ROLES[role]
        assert answer.status_code == (200 if allowed else 403), row
        assert answer.text == name if allowed else row.permission.value in answer.json()["detail"]


@pytest.mark.parametrize("role", Role)
async def test_somebody_of_some_rings_reaches_what_is_about_those_only(office, role):
    for ring in ("ours", "theirs"):
        await office.stock(ring)
    _, made = await office.hire(role, ("ours",))
    for row in ADMIN_ROUTES:
        noun = row.permission.partition(".")[0]
        numbers = {"endpoint": office.endpoints, "package": office.packages}.get(noun, {})
        allowed = row.permission in ROLES[role] & PER_RING
        for ring, expected in (("ours", 200), ("theirs", 404 if numbers and "{id}" in row.path else 200)):
            path = row.path.format(id=numbers.get(ring, some_id()), name="n", event="approve", act="start", number=1)
            answer = await office.ask(row, made.token, path, **REASON)
            assert answer.status_code == (expected if allowed else 403), (row, ring)


async def test_nobody_gets_in_without_a_token_that_works(office):
    _, made = await office.hire(Role.ADMINISTRATOR)
    _, revoked = await office.hire(Role.ADMINISTRATOR)
    await office.tokens.revoke(revoked.line.id, "test")
    off, disabled = await office.hire(Role.ADMINISTRATOR)
    await office.people.disable(off, "test")
    worthless = (
        {},
        {"cookie": f"__Host-keyfast={made.token}"},
        {"authorization": made.token},
        {"authorization": f"Basic {made.token}"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {made.token}x"},
        {"authorization": f"Bearer kfa_{'A' * 43}"},
        {"authorization": f"Bearer {made.token[:-1]}\u00e9".encode()},
        {"authorization": f"Bearer {'a' * 5000}"},
        {"authorization": f"Bearer {revoked.token}"},
        {"authorization": f"Bearer {disabled.token}"},
    )
    for row in ADMIN_ROUTES:
        for headers in worthless:
            answer = await ask(office.app, row, **headers, **REASON)
            assert (answer.status_code, answer.json()["class"]) == (401, "not_signed_in"), (row, headers)
    office.now += DAY
    for row in ADMIN_ROUTES:
        assert (await office.ask(row, made.token, **REASON)).status_code == 401, row


async def test_two_tokens_are_none(office):
    _, made = await office.hire(Role.ADMINISTRATOR)
    sent = [("authorization", f"Bearer {made.token}")] * 2
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=office.app), base_url="http://keyfast") as http:
        assert (await http.get("/admin/v1/self", headers=sent)).status_code == 401


@pytest.mark.parametrize("missing", Permission)
async def test_a_token_without_the_scope_is_not_enough(office, missing):
    others = [permission for permission in Permission if permission is not missing]
    _, made = await office.hire(Role.ADMINISTRATOR, scopes=others)
    for row in (row for row in ADMIN_ROUTES if row.permission is missing):
        answer = await office.ask(row, made.token, **REASON)
        # Every token has its person's own.
        assert answer.status_code == (200 if missing is Permission.SELF else 403), row


async def test_a_token_loses_what_its_person_loses(office):
    name, made = await office.hire(Role.ADMINISTRATOR)
    row = next(row for row in ADMIN_ROUTES if row.permission is Permission.KEY_ROTATE)
    assert (await office.ask(row, made.token, **REASON)).status_code == 200
    await office.people.change(name, PersonChange(role=Role.AUDITOR), "test")
    assert (await office.ask(row, made.token, **REASON)).status_code == 403


@pytest.mark.parametrize("reason", ["", "%20", "a%0Ab", "x" * 301])
async def test_a_dangerous_act_needs_a_reason(office, reason):
    _, made = await office.hire(Role.ADMINISTRATOR)
    answer = await office.ask(DANGEROUS_ROW, made.token, **{REASON_HEADER: reason})
    assert (answer.status_code, answer.json()["class"]) == (400, "usage")


async def test_whoever_may_open_the_socket_may_do_everything():
    app = _app()
    for row in ADMIN_ROUTES:
        answer = await ask(app, row)
        assert (answer.status_code, answer.text) == (200, LOCAL.name), row


def test_what_is_for_anyone_is_this():
    assert [row.path for row in routes.ADMIN_ROUTES if row.who is Who.ANYONE] == ["/admin/v1/join"]
    assert [row.path for row in routes.ADMIN_ROUTES if row.who is Who.ANYONE and row.permission] == []


async def test_a_route_without_a_permission_is_nobodys():
    async def handler(request):
        raise AssertionError("reached")

    gate = Gate(local_door, lambda: NOW)
    kept = gate.known(gate.allowed(handler, None))
    with pytest.raises(ForbiddenError):
        await kept(Request({"type": "http", "headers": []}))
