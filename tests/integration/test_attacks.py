"""Attacks on recoveries, changes and windows at a real server over TLS: what is refused, and what an auditor sees.

1. anonymous callers who ask for another endpoint's access        4. a stolen package and a former password in a window
2. signed recoveries that were captured or are not the caller's   5. commands put into an endpoint's answers by whoever
3. a window: whom it does not cover, from where it does not            broke TLS: captured, late, old, or wrongly signed
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from tests.support import processes
from tests.support.device import CHECK_IN, RECOVER, Device, PasswordDevice
from tests.support.samba import Account, Domain
from tests.support.server import RunningServer
from tests.support.windows import WindowsRig, WindowsServer

from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.server.compose import open_parts
from keyfast.trust import hpke, prior_password, statement
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import unb64u
from keyfast.trust.keyset import Keyset
from keyfast.trust.roles import CHANGE_TYP, COMMAND_TYP, KeyStatus, Role
from keyfast.wire import messages
from keyfast.wire.admin import CommandLine, EventLine, Installation
from keyfast.wire.bundle import Bundle, BundleAccount
from keyfast.wire.changes import Change, PriorPassword
from keyfast.wire.messages import Command, Join
from keyfast.wire.window import WindowClose, WindowOrder, WindowView

JSON = {"content-type": "application/json"}
UNKNOWN = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"
NEW = "Another-Passw0rd-0123456789"
WEEK = 7 * 86400


@pytest.fixture(scope="module")
def site(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("attacks") / "data", ad)
    yield running
    running.close()


@pytest.fixture
def fresh(ad: Domain, tmp_path: Path) -> Iterator[WindowsServer]:
    """A server of the test's own: its events are the test's, all of them."""
    running = WindowsServer(tmp_path / "data", ad)
    yield running
    running.close()


@pytest.fixture(scope="module")
def steady(site: WindowsServer) -> Bundle:
    """A package of an account that stays as it is."""
    return site.windows_bundle(site.new_account("svc-steady"))


def join(site: WindowsServer, http: httpx2.Client, bundle: Bundle) -> PasswordDevice:
    device = PasswordDevice(http, site.url, bundle)
    processes.until(lambda: device.visit().status_code == 200, "the check-in process to know the account")
    return device


def change_password(site: WindowsServer, account: Account) -> None:
    """Somebody changes it; the new one is put on record."""
    account.domain.password(account.name, NEW)
    site.add_account(account, password=NEW)


def kind(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    return answer.json()["class"]


def bare(answer: httpx2.Response) -> tuple[int, dict, set[str]]:
    """Everything of an answer apart from time and nonce."""
    body = {name: value for name, value in answer.json().items() if name != "server_time"}
    return answer.status_code, body, set(answer.headers) | {f"length {len(answer.content)}"}


def ask(device: Device, http: httpx2.Client, endpoint: str) -> httpx2.Response:
    """Ask for recovery with nothing but an endpoint id."""
    return http.post(RECOVER, content=device.recovery(endpoint=endpoint), headers=JSON)


def opened(device: PasswordDevice, change: Change, key: DeviceKey | None = None) -> BundleAccount:
    reference = f"{change.epoch}.{change.seq}"
    secret = hpke.open_sealed(
        change.account, key or device.seal_key, purpose="web access server", endpoint=change.endpoint,
        reference=reference,
    )  # fmt: skip
    return msgspec.json.decode(secret.reveal(), type=BundleAccount)


def claims(jws: str) -> Change:
    return msgspec.json.decode(unb64u(jws.split(".")[1]), type=Change)


def refusals(site: RunningServer) -> list[tuple[str, str, str]]:
    """Class, way and endpoint of refused recoveries, oldest first."""
    found = site.admin.get("/admin/v1/events", list[EventLine], {"limit": 1000})
    rows = [row.detail for row in reversed(found) if row.kind == "recovery_refused"]
    return [(row["class"], row["way"], row["named"]) for row in rows]


def open_window(site: WindowsServer, *endpoints: str, ranges: tuple[str, ...] = ("127.0.0.0/8",)) -> str:
    order = WindowOrder("an exercise", 30, ranges, endpoints=endpoints)
    return site.admin.post("/admin/v1/windows/open", WindowView, order).line.id


def close_window(site: WindowsServer, missing: int) -> None:
    site.admin.post("/admin/v1/windows/close", WindowView, WindowClose(despite_unproven=missing))


# --- 1 and 2: without a window


def test_1_and_2_nobody_gets_another_endpoint_s_access(fresh: WindowsServer, account: Account):
    fresh.add_account(account)
    bundle = fresh.windows_bundle(account)
    with fresh.client() as http:
        victim, thief = join(fresh, http, bundle), join(fresh, http, bundle)
        change_password(fresh, account)
        answers = [ask(thief, http, endpoint) for endpoint in (victim.id, UNKNOWN, "", "x" * 64)]
        assert [kind(answer) for answer in answers] == ["unauthenticated"] * 4
        assert all(bare(answer) == bare(answers[0]) for answer in answers)
        # With its own key it names the victim: it is given its own access, sealed for itself.
        mine = newest(thief, lambda: thief.recover(endpoint=victim.id))
        assert mine.endpoint == thief.id
        assert opened(thief, mine).password == NEW
        # A stranger's key; the victim's receipt under a stranger's key; the victim's own words, twice.
        stranger = PasswordDevice(http, fresh.url, bundle)
        stranger.id, stranger.seal_key = victim.id, victim.seal_key
        assert kind(stranger.recover()) == "unknown_device"
        seal = {"seal_jwk": victim.seal_key.public_jwk()}
        assert kind(stranger.recover(receipt=victim.receipt, **seal)) == "unauthenticated"
        victim.recover()
        body = victim.recovery()
        captured = JSON | {"dpop": victim.proof("POST", RECOVER, body=body)}
        assert http.post(RECOVER, content=body, headers=captured).status_code == 200
        assert kind(http.post(RECOVER, content=body, headers=captured)) == "replayed"
        altered = victim.recovery(challenge="d")
        assert kind(http.post(RECOVER, content=altered, headers=captured)) == "unauthenticated"
    expected = {("unauthenticated", "anonymous"), ("unknown_device", "stranger"), ("replayed", "")}
    processes.until(lambda: expected <= {row[:2] for row in refusals(fresh)}, "events")
    assert NEW not in fresh.log.read_text()


# --- 3: a window


def test_3_a_window_gives_to_whom_it_covers_and_from_where_it_does(fresh: WindowsServer, account: Account):
    fresh.add_account(account)
    bundle = fresh.windows_bundle(account)
    with fresh.client() as http:
        inside, outside = join(fresh, http, bundle), join(fresh, http, bundle)
        change_password(fresh, account)
        window = open_window(fresh, inside.id)
        change = newest(inside, lambda: ask(inside, http, inside.id))
        assert change.endpoint == inside.id
        assert opened(inside, change).password == NEW
        for key in (outside.seal_key, DeviceKey.generate(), inside.key):
            with pytest.raises(TrustError):
                opened(inside, change, key)
        assert NEW not in ask(inside, http, inside.id).text
        refused = [ask(inside, http, endpoint) for endpoint in (outside.id, UNKNOWN, "")]
        assert [kind(one) for one in refused] == ["unauthenticated"] * 3
        assert all(bare(one) == bare(refused[0]) for one in refused)
        assert fresh.endpoint(outside.id).commands == ()
        close_window(fresh, 1)
        open_window(fresh, inside.id, ranges=("192.0.2.0/24",))
        processes.until(lambda: ask(inside, http, inside.id).status_code == 401, "the other window to be known")
        assert bare(ask(inside, http, inside.id)) == bare(refused[0])
        close_window(fresh, 1)
        assert bare(ask(inside, http, inside.id)) == bare(refused[0])
        # Whoever listened has the statement, and the password not; a check-in is not let in by any of it.
        body = inside.body(account=inside.key_of_account, credential_generation=2)
        assert kind(http.post(CHECK_IN, content=body, headers=JSON)) == "unauthenticated"
    given = [row for row in fresh.events("endpoint_recovered") if row.detail["way"] == "anonymous"]
    assert [(row.endpoint, row.detail["window"]) for row in given] == [(inside.id, window)]
    processes.until(lambda: ("unauthenticated", "anonymous") in {row[:2] for row in refusals(fresh)}, "the event")


def newest(device: PasswordDevice, asked: Callable[[], httpx2.Response]) -> Change:
    """What it is given once the check-in process knows the new password."""

    def given() -> Change | None:
        told = _given(asked())
        change = None if told is None else claims(told["change"])
        return change if change and opened(device, change).password == NEW else None

    return processes.until(given, "the new password to be known")


def _given(answer: httpx2.Response) -> dict | None:
    return answer.json() if answer.status_code == 200 and "change" in answer.json() else None


# --- 4: a stolen package


@pytest.mark.parametrize("password", ["former", "guessed"])
def test_4_a_stolen_package_only_ever_reaches_the_pending_list(site: WindowsServer, account: Account, password: str):
    site.add_account(account)
    bundle = site.windows_bundle(account)
    assert bundle.account is not None
    with site.client() as http:
        member = join(site, http, bundle)
        change_password(site, account)
        site.admin.post(
            "/admin/v1/windows/open", WindowView,
            WindowOrder("an exercise", 30, ("127.0.0.0/8",), account=account.logon),
        )  # fmt: skip
        processes.until(lambda: _given(ask(member, http, member.id)), "the window to be known")
        since = site.last_event()
        thief = PasswordDevice(http, site.url, bundle)
        thief.recover()  # for a nonce
        asked = Join(bundle.statement, thief.seal_key.public_jwk())
        secret = bundle.account.password if password == "former" else "Guessed-Passw0rd"
        mac = prior_password.prior_mac(
            Secret(secret.encode()), bundle.installation, nonce=thief.nonce, device=thief.key.thumbprint,
            seal=thief.seal_key.thumbprint, account=thief.key_of_account, generation=1,
        )  # fmt: skip
        answer = thief.recover(join=asked, hostname="stolen", prior=PriorPassword(thief.key_of_account, 1, mac))
        told = answer.json()
        assert (answer.status_code, told["state"]) == (200, "pending"), told
        assert {"change", "receipt"}.isdisjoint(told)
        (event,) = site.events("endpoint_pending", after=since)
        assert (event.detail["name"], event.detail["prior_password"]) == ("stolen", password == "former")
        thief.id = event.endpoint or ""
        assert kind(thief.recover()) == "pending"
        assert kind(ask(thief, http, thief.id)) == "unauthenticated"
        old = thief.visit(bundle.account.password, join=None)
        assert kind(old) in {"account_refused", "pending"}
        assert site.endpoint(thief.id).line.state == "pending"
        assert site.endpoint(thief.id).commands == ()
        close_window(site, 1)
    processes.until(lambda: ("pending", "current") in {row[:2] for row in refusals(site)}, "the event")


# --- 5: whoever broke TLS puts commands into answers


class TappedRig(WindowsRig):
    """An agent whose check-in answers somebody adds commands to."""

    def __init__(self, bundle: Bundle) -> None:
        self.added: list[str] = []
        super().__init__(bundle, only="Basic")

    def _connect(self, context):
        return _Tap(super()._connect(context), self.added)


class _Tap(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport, added: list[str]) -> None:
        self._inner, self._added = inner, added

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if not request.url.path.endswith("check-in") or response.status_code != 200 or not self._added:
            return response
        body = json.loads(await response.aread())
        body["commands"] = [*body.get("commands", ()), *self._added]
        self._added.clear()
        headers = [(name, value) for name, value in response.headers.items() if name != "content-length"]
        return httpx2.Response(200, headers=headers, content=json.dumps(body).encode())

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.fixture(scope="module")
def keyset(site: WindowsServer) -> Keyset:
    """The server's own keys, as a thief of some of them holds them."""

    async def read() -> Keyset:
        parts = await open_parts(site.settings)
        try:
            return parts.live.current.keyset
        finally:
            await parts.database.close()

    return asyncio.run(read())


def by_role(keyset: Keyset, role: Role, typ: str, message: msgspec.Struct) -> str:
    key = next(key for key in keyset.keys if key.role is role and key.status is KeyStatus.CURRENT)
    assert key.private is not None
    return statement.sign(DeviceKey.from_pem(key.private), typ, messages.encode(message))


def moving(site: WindowsServer, keyset: Keyset, endpoint: str, **changes) -> Change:
    """A change that would move an endpoint, if only it were believed."""
    now = int(time.time())
    told = Change(
        site.admin.get("/admin/v1/installation", Installation).id, str(uuid.uuid4()), endpoint, 50, 1,
        now, now + WEEK, "ChangeWebAccessServer", profile="x",
    )  # fmt: skip
    return msgspec.structs.replace(told, **changes)


def refused_command(site: WindowsServer, endpoint: str) -> EventLine:
    """The one event of it."""

    def told() -> list[EventLine] | None:
        return [row for row in site.events("command_refused") if row.endpoint == endpoint] or None

    (event,) = processes.until(told, "the event")
    return event


Attack = Callable[[WindowsServer, Keyset, str], str]

ATTACKS: dict[str, tuple[Attack, str]] = {
    "captured from another endpoint": (
        lambda s, k, e: k.sign(CHANGE_TYP, moving(s, k, UNKNOWN)), "it is for another endpoint",
    ),
    "captured, and late": (
        lambda s, k, e: k.sign(CHANGE_TYP, moving(s, k, e, expires_at=int(time.time()) - 60)), "it had expired",
    ),
    "an older number": (lambda s, k, e: k.sign(CHANGE_TYP, moving(s, k, e, seq=1)), "is not above"),
    "an older epoch": (lambda s, k, e: k.sign(CHANGE_TYP, moving(s, k, e, epoch=0)), "is not above"),
    "a routine command that moves": (
        lambda s, k, e: k.sign(
            COMMAND_TYP,
            Command(moving(s, k, e).installation, str(uuid.uuid4()), e, 60, 1, 2**31, "ChangeWebAccessServer"),
        ),
        "signed by a key that may not move",
    ),
    "a change by the routine key": (
        lambda s, k, e: by_role(k, Role.COMMAND, CHANGE_TYP, moving(s, k, e)), "its signature does not hold",
    ),
    "a change by the token's key": (
        lambda s, k, e: by_role(k, Role.RECEIPT, CHANGE_TYP, moving(s, k, e)), "its signature does not hold",
    ),
    "a change by another installation": (
        lambda s, k, e: Keyset.generate("kf-other", 1).sign(CHANGE_TYP, moving(s, k, e)),
        "its signature does not hold",
    ),
    "no statement at all": (lambda s, k, e: "rubbish", "its signature does not hold"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_5_a_command_that_is_not_the_endpoint_s_moves_nobody_and_is_told(
    site: WindowsServer, steady: Bundle, keyset: Keyset, attack: str
):
    rig = TappedRig(steady)
    await rig.check_in()
    endpoint = rig.agent.record.endpoint_id
    site.admin.post(f"/admin/v1/endpoints/{endpoint}/check-in-now", CommandLine, {"interval_s": 0})
    await rig.check_in()
    await rig.check_in()
    before = rig.agent.record
    assert before.command_seq == 1
    make, reason = ATTACKS[attack]
    rig.added.append(make(site, keyset, endpoint))
    await rig.check_in()
    await rig.check_in()
    after = rig.agent.record
    for name in ("slots", "mode", "profile_seq", "account_password", "previous_account", "change", "watch"):
        assert getattr(after, name) == getattr(before, name), name
    assert rig.said == "ok basic"

    event = refused_command(site, endpoint)
    assert reason in event.detail["reason"]
    assert event.detail["count"] == 1


async def test_5_a_change_that_was_really_made_for_another_endpoint_is_of_no_use(
    site: WindowsServer, steady: Bundle, account: Account
):
    site.add_account(account)
    with site.client() as http:
        other = join(site, http, site.windows_bundle(account))
        change_password(site, account)
        answer = processes.until(lambda: _given(other.recover()), "the new password to be known")
    rig = TappedRig(steady)
    await rig.check_in()
    before = rig.agent.record.slots
    rig.added.append(answer["change"])
    await rig.check_in()
    await rig.check_in()
    assert rig.agent.record.slots == before
    endpoint, command = rig.agent.record.endpoint_id, claims(answer["change"]).id
    event = refused_command(site, endpoint)
    assert (event.detail["command"], event.detail["reason"]) == (command, "it is for another endpoint")
    assert {row.state for row in site.endpoint(other.id).commands} == {"offered"}
