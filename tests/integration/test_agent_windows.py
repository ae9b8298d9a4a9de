"""The agent's logon against a real Active Directory: every mechanism, every account state, and what each costs."""

import asyncio
import datetime as dt
import logging
import ssl
import uuid
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from tests.support.fake_agent import FakeClock, pass_time, rig_for
from tests.support.fake_server import FakeServer
from tests.support.samba import Account as User
from tests.support.samba import Domain
from tests.support.tls_server import served

from keyfast.agent.evidence import trust_chain
from keyfast.agent.link import Link
from keyfast.agent.logon import Account, Failed, Then, Tickets
from keyfast.agent.outcome import Answered, Outcome, Refused
from keyfast.agent.requests import Request
from keyfast.agent.routes import Route
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.trust import kerberos as trust_kerberos
from keyfast.trust import ntlm_message
from keyfast.trust.channel_binding import server_end_point
from keyfast.trust.ntlm import Exchange, Granted, NtlmHelpers
from keyfast.trust.tls import create_authority, issue_certificate
from keyfast.wire import problems
from keyfast.wire.bundle import BundleAccount

ALL = ("kerberos", "ntlm", "basic")
BODY = b'{"seq":1}'


@dataclass
class Door:
    """A door that lets in whoever the domain lets in; it tells apart mechanisms and remembers every leg."""

    domain: Domain
    helpers: NtlmHelpers
    offers: tuple[str, ...] = ("Negotiate", "NTLM", "Basic")
    binding: bytes = b""
    exchange: Exchange | None = None
    legs: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    who: list[str] = field(default_factory=list)
    bound: list[bool] = field(default_factory=list)
    deaf: bool = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        self.legs.append(request.headers.get("keyfast-kdc", scheme))
        self.bodies.append(request.content)
        if self.deaf and "keyfast-kdc" in request.headers:
            raise ConnectionAbortedError
        if not scheme:
            return self._asks(*self.offers)
        if scheme == "Negotiate":
            return self._ticket(b64decode(text))
        if scheme == "NTLM":
            return await self._ntlm(b64decode(text))
        user, _, password = b64decode(text).decode().partition(":")
        self.who.append(f"{user}:{len(password)}")
        return httpx2.Response(200, content=b"{}")

    def _asks(self, *offers: str) -> httpx2.Response:
        return self._says(RefusalClass.UNAUTHENTICATED, [("www-authenticate", offer) for offer in offers])

    def _says(self, kind: RefusalClass, headers: list[tuple[str, str]]) -> httpx2.Response:
        refusal = Refusal(kind, "the directory refuses the account")
        body = problems.problem_bytes(refusal, 1_800_000_000)
        return httpx2.Response(refusal.rule.status, headers=headers, content=body)

    def _ticket(self, token: bytes) -> httpx2.Response:
        told = trust_kerberos.Acceptor(self.domain.http_keytab).accept(token, self.binding)
        if not isinstance(told, trust_kerberos.Accepted):
            return self._asks(*self.offers)
        self.who.append(told.principal)
        self.bound.append(told.bound)
        return httpx2.Response(200, content=b"{}")

    async def _ntlm(self, token: bytes) -> httpx2.Response:
        if self.exchange is None:
            begun = await self.helpers.begin(token)
            assert isinstance(begun, Exchange)
            self.exchange = begun
            return self._asks(f"NTLM {b64encode(begun.challenge).decode()}")
        exchange, self.exchange = self.exchange, None
        self.bound.append(ntlm_message.channel_binding_of(token) == ntlm_message.expected_md5(self.binding))
        told = await exchange.finish(token)
        if not isinstance(told, Granted):
            return self._says(RefusalClass.ACCOUNT_REFUSED, [])
        self.who.append(f"{told.domain}\\{told.name}")
        return httpx2.Response(200, content=b"{}")


class Site:
    """The door behind real TLS, and an agent's link to it."""

    def __init__(self, door: Door, port: int, ca: str) -> None:
        self.door, self.port, self.ca = door, port, ca
        server = FakeServer()
        bundle = server.bundle()
        self.chain = trust_chain(bundle.installation, bundle.root, bundle.delegations)
        self.clock = FakeClock()
        self.link = Link(self.clock, lambda: str(uuid.uuid4()))

    async def log_on(self, user: User, *mechanisms: str, password: str = "") -> Outcome:
        account = Account(user.name, user.domain.netbios, Secret((password or user.password).encode()), 1)
        route = Route(f"https://localhost:{self.port}", self.ca, "current", mechanisms or ALL)
        self.door.legs.clear()
        request = Request("POST", "/endpoint/v1/check-in", {"dpop": "proof"}, BODY, account)
        return await self.link.send(route, request, self.chain)


@pytest.fixture
async def site(kerberos: Domain, tmp_path: Path) -> AsyncIterator[Site]:
    now = dt.datetime.now(dt.UTC)
    ca, ca_key = create_authority("test authority", now)
    certificate, key = issue_certificate(ca, ca_key, ["localhost"], now)
    (tmp_path / "crt").write_bytes(certificate)
    (tmp_path / "key").write_bytes(key.reveal())
    helpers = NtlmHelpers((str(kerberos.ntlm_auth),))
    door = Door(kerberos, helpers, binding=server_end_point(ssl.PEM_cert_to_DER_cert(_first(certificate))))
    async with served(door, tmp_path / "crt", tmp_path / "key") as port:  # type: ignore[arg-type]
        made = Site(door, port, ca.decode())
        yield made
        await made.link.rest()
    await helpers.close()


def _first(pem: bytes) -> str:
    end = "-----END CERTIFICATE-----"
    return pem.decode().partition(end)[0] + end


def bad_passwords(user: User) -> int:
    return int(user.read().get("badPwdCount", ["0"])[0])


@pytest.mark.parametrize(
    ("mechanism", "legs"),
    [("kerberos", ["", "Negotiate"]), ("ntlm", ["", "NTLM", "NTLM"]), ("basic", ["", "Basic"])],
)
async def test_each_mechanism_logs_on_bound_to_the_channel(site: Site, account: User, mechanism, legs):
    outcome = await site.log_on(account, mechanism)
    assert isinstance(outcome, Answered)
    assert outcome.mechanism == mechanism
    assert site.door.legs == legs
    assert set(site.door.bodies) == {BODY}
    assert all(site.door.bound)
    assert account.name in site.door.who[0]
    await site.log_on(account, mechanism)
    assert site.door.legs == legs[1:]  # what worked is remembered


async def test_kerberos_comes_first_and_is_asked_once_per_ticket(site: Site, account: User):
    for _ in range(5):
        outcome = await site.log_on(account)
        assert isinstance(outcome, Answered)
        assert outcome.mechanism == "kerberos"
    account.domain.password(account.name, "Another-Passw0rd-9")
    # The service ticket is still good; nobody was asked about the password, and nothing was counted.
    assert isinstance(await site.log_on(account), Answered)
    assert bad_passwords(account) == 0
    site.clock.pass_time(9 * 3600)
    refused = await site.log_on(account)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.tried) == ("account_refused", True)
    assert site.door.legs == ["", "refused"]  # the server is told; no second wrong password follows


async def test_a_wrong_password_counts_once(site: Site, account: User):
    refused = await site.log_on(account, password="Wr0ng-Passw0rd")
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.tried) == ("account_refused", True)
    assert bad_passwords(account) == 1
    assert site.door.legs == ["", "refused"]
    refused = await site.log_on(account, "ntlm", password="Wr0ng-Passw0rd")
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.tried) == ("account_refused", True)
    assert bad_passwords(account) == 2


async def test_a_server_that_is_gone_when_it_is_to_be_told_changes_nothing(site: Site, account: User):
    """The password was refused, and stays refused: whoever cannot tell must not try it again sooner."""
    site.door.deaf = True
    refused = await site.log_on(account, password="Wr0ng-Passw0rd")
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.tried) == ("account_refused", True)
    assert bad_passwords(account) == 1


@pytest.mark.parametrize("state", ["expired", "must-change", "disabled", "account-expired", "locked", "deleted"])
async def test_an_account_that_kerberos_will_not_have_is_put_to_the_server(site: Site, account: User, state):
    account.state(state)
    refused = await site.log_on(account)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.tried) == ("account_refused", True)
    assert site.door.legs == ["", "NTLM", "NTLM"]


async def test_the_previous_password_still_works_over_ntlm_for_a_while(site: Site, account: User):
    account.domain.password(account.name, "Another-Passw0rd-9")
    site.door.offers = ("NTLM", "Basic")  # what a server offers in the hour after a change
    outcome = await site.log_on(account)
    assert isinstance(outcome, Answered)
    assert outcome.mechanism == "ntlm"
    assert bad_passwords(account) == 0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda text, realm: text.replace("kdc =", "kdc = 127.0.0.1:9 #"), id="no KDC answers"),
        pytest.param(lambda text, realm: text.replace("default_realm =", "#"), id="no default realm"),
        pytest.param(lambda text, realm: text.replace(f"m = {realm}", "m = OTHER.EXAMPLE.TEST"), id="foreign"),
        pytest.param(lambda text, realm: "", id="nothing configured"),
    ],
)
async def test_where_kerberos_cannot_be_had_ntlm_is_used(
    site: Site, account: User, tmp_path: Path, monkeypatch, broken: Callable[[str, str], str]
):
    config = tmp_path / "krb5.conf"
    config.write_text(broken(account.domain.krb5_conf.read_text(), account.domain.realm))
    monkeypatch.setenv("KRB5_CONFIG", str(config))
    outcome = await site.log_on(account)
    assert isinstance(outcome, Answered)
    assert outcome.mechanism == "ntlm"
    assert bad_passwords(account) == 0


async def test_a_service_that_kerberos_does_not_know_is_no_verdict(kerberos: Domain, account: User):
    tickets = Tickets(FakeClock())
    mine = Account(account.name, kerberos.netbios, Secret(account.password.encode()), 1)
    failed = await tickets.token(mine, "unknown.example.com", None)
    assert isinstance(failed, Failed)
    assert (failed.then, failed.why) == (Then.NEXT, "the domain knows no service of this server's name")


async def test_a_server_that_will_not_have_the_ticket_gets_ntlm(site: Site, account: User):
    site.door.binding, genuine = b"tls-server-end-point:another", site.door.binding
    outcome = await site.log_on(account, "kerberos", "ntlm")
    assert isinstance(outcome, Answered)
    assert (outcome.mechanism, site.door.legs) == ("ntlm", ["", "Negotiate", "NTLM", "NTLM"])
    assert site.door.bound == [False]
    site.door.binding = genuine


async def test_a_domain_that_hangs_holds_up_nothing(kerberos: Domain, account: User):
    tickets = Tickets(FakeClock(), patience=0.3)
    mine = Account(account.name, kerberos.netbios, Secret(account.password.encode()), 1)
    kerberos.pause()
    try:
        ticks = asyncio.ensure_future(_ticking(asyncio.get_running_loop().time() + 0.2))
        first = await tickets.token(mine, "localhost", None)
        assert isinstance(first, Failed)
        assert first.then is Then.LATER
        second = await tickets.token(mine, "localhost", None)
        assert isinstance(second, Failed)
        assert second.then is Then.NEXT  # one question at a time; the next mechanism is free
        assert await ticks > 5
    finally:
        kerberos.resume()
    async with asyncio.timeout(60):
        while isinstance(await tickets.token(mine, "localhost", None), Failed):  # noqa: ASYNC110 - its thread has no event
            await asyncio.sleep(0.05)


async def test_a_day_with_a_wrong_password_costs_the_account_four_tries(kerberos: Domain, account: User):
    bundle = BundleAccount(account.name, kerberos.netbios, "Wr0ng-Passw0rd", 1)
    server = FakeServer(("https://localhost",)).windows(bundle, "kerberos", "ntlm")
    server.offers = ("Negotiate", "NTLM")
    rig = rig_for(server)
    passed = 0.0
    while passed < 86_400:
        wait = min(await rig.visit(), 1800.0)
        pass_time(server, rig, wait)
        rig.restart()
        passed += wait
    assert server.logons == []  # the KDC's word was enough
    assert 3 <= bad_passwords(account) <= 4
    refusal = rig.agent.record.last_refusal
    assert refusal is not None
    assert (refusal.kind, refusal.detail) == ("account_refused", "the domain's KDC refused the password")


async def _ticking(until: float) -> int:
    count = 0
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.01)
        count += 1
    return count


async def test_nothing_secret_is_logged_or_said(site: Site, account: User, caplog):
    caplog.set_level(logging.DEBUG)
    for mechanism in ALL:
        for password in ("", "Wr0ng-Passw0rd"):
            await site.link.rest()
            outcome = await site.log_on(account, mechanism, password=password)
            assert "Passw0rd" not in repr(outcome)
    for text in ("Passw0rd", b64encode(account.password.encode()).decode(), "TlRMTVNTUAADAAAA", "YII"):
        assert text not in caplog.text
