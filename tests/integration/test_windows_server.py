"""The running server against a real Active Directory: logons, modes at run time, outages, an agent's whole life."""

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.samba import Account, Domain
from tests.support.windows import Said, WindowsServer, bad_passwords, down, kinit
from tests.support.windows_client import (
    Legs,
    WindowsDevice,
    binding_of,
    heard,
    spreading_proxy,
)

from keyfast.cli.client import AnsweredError
from keyfast.wire.bundle import Bundle

WRONG = "Wr0ng-Passw0rd"
MECHANISMS = ("kerberos", "ntlm", "basic")


@pytest.fixture(scope="module")
def site(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("windows") / "data", ad)
    yield running
    running.close()


@pytest.fixture(scope="module")
def strict(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    """A server that demands channel bindings; also another installation."""
    running = WindowsServer(tmp_path_factory.mktemp("strict") / "data", ad, protection="require", interval=3600)
    yield running
    running.close()


@pytest.fixture
def http(site: WindowsServer) -> Iterator[httpx2.Client]:
    with site.client() as client:
        yield client


@pytest.fixture
def known(site: WindowsServer, account: Account, kerberos: Domain) -> Account:
    """A fresh client authentication account; this process's Kerberos knows its domain."""
    site.add_account(account)
    return account


@pytest.fixture(scope="module")
def shared(site: WindowsServer) -> Account:
    """A client authentication account on which nobody tries a wrong password."""
    return site.new_account("svc-shared")


@pytest.fixture(scope="module")
def package(site: WindowsServer, shared: Account) -> Bundle:
    return site.windows_bundle(shared)


@pytest.fixture
def device(site: WindowsServer, shared: Account, package: Bundle, http: httpx2.Client) -> WindowsDevice:
    """An endpoint that has not joined yet."""
    return WindowsDevice(http, site.url, shared, package)


def by(site: WindowsServer, mechanism: str, account: Account, tickets: Path, password: str = ""):
    """Log on at the probe by curl."""
    if mechanism == "kerberos":
        assert kinit(account, tickets, password)
        return site.negotiate(tickets)
    return site.ntlm(account, password) if mechanism == "ntlm" else site.basic(account, password)


# --- logons


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_curl_logs_on(site: WindowsServer, known: Account, tmp_path: Path, mechanism: str):
    said = by(site, mechanism, known, tmp_path / "tickets")
    assert said.status == 200
    assert said.body == {"mode": "windows", "mechanism": mechanism, "account": known.logon}
    assert bad_passwords(known) == 0


@pytest.mark.parametrize("form", ["{name}", "CORP\\{name}", "corp\\{name}", "{name}@corp.example.test"])
@pytest.mark.parametrize("way", ["--basic", "--ntlm"])
def test_an_account_is_known_by_every_form_of_its_name(site: WindowsServer, known: Account, way: str, form: str):
    user = form.format(name=known.name)
    said = site.curl(way, "-u", f"{user}:{known.password}")
    assert (said.status, said.body.get("account")) == (200, known.logon)


def test_the_server_offers_the_strongest_first_and_asks_on_every_request(http: httpx2.Client, known: Account):
    asked = heard(http.get("/endpoint/v1/probe"))
    assert (asked.status, asked.kind) == (401, "unauthenticated")
    assert asked.offers == ("Negotiate", "NTLM", "Basic", "DPoP")
    for protocol in ("kerberos", "ntlm"):
        assert Legs(known, protocol).probe(http).status == 200
        assert heard(http.get("/endpoint/v1/probe")).kind == "unauthenticated"  # the connection is not the login


@pytest.mark.parametrize("way", ["--basic", "--ntlm"])
def test_a_wrong_password_is_refused_once_and_told(site: WindowsServer, known: Account, way: str):
    since = site.last_event()
    said = site.curl(way, "-u", f"{known.logon}:{WRONG}")
    assert (said.status, said.kind) == (401, "account_refused")
    assert bad_passwords(known) == 1
    told = site.await_events("logon_refused", account=known, after=since)
    assert [row.detail["reason"] for row in told] == ["wrong_password"]
    assert told[0].detail["mechanism"] == way.removeprefix("--")
    if way == "--basic":  # the same wrong password again never reaches the directory
        assert site.basic(known, WRONG).kind == "account_refused"
        assert bad_passwords(known) == 1
    assert site.basic(known).status == 200


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_domain_user_who_is_no_client_authentication_account(
    site: WindowsServer, account: Account, tmp_path: Path, mechanism: str
):
    since = site.last_event()
    said = by(site, mechanism, account, tmp_path / "tickets")
    assert (said.status, said.kind) == (403, "account_not_allowed")
    told = site.await_events("account_not_allowed", account=account, after=since)
    assert told[0].detail["mechanism"] == mechanism
    assert told[0].detail["address"] == "127.0.0.1"


@pytest.mark.parametrize("way", ["--basic", "--ntlm"])
def test_nobody_elses_password_is_tried_or_locked_here(site: WindowsServer, account: Account, way: str):
    for number in range(6):
        assert site.curl(way, "-u", f"{account.logon}:{WRONG}-{number}").kind == "account_not_allowed"
    assert bad_passwords(account) == 0


def test_many_endpoints_log_on_at_once(site: WindowsServer, shared: Account, package: Bundle):
    """More NTLM logons are under way than there are helpers, and some are begun and never finished."""

    def log_on(number: int) -> tuple[int, str]:
        with site.client() as client:
            endpoint = WindowsDevice(client, site.url, shared, package)
            endpoint.fresh()
            if number % 5 == 0:
                endpoint.send(endpoint.body(), headers={"authorization": Legs(shared, "ntlm").next()})
            return endpoint.by_ntlm().status, endpoint.id

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(log_on, range(40)))
    assert [status for status, _ in told] == [200] * 40
    assert len({endpoint for _, endpoint in told}) == 40
    assert bad_passwords(shared) == 0


def test_strangers_try_an_account_one_after_the_other(site: WindowsServer, known: Account):
    """Whoever proves no device key gets no second wrong password in before the account was read again."""
    numbers = itertools.count()

    def guess(_: int = 0) -> Said:
        return site.curl("--basic", "-u", f"{known.logon}:{WRONG}-{next(numbers)}")

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(guess, range(24)))
    assert {said.kind for said in told} <= {"account_refused", "not_ready"}
    processes.until(lambda: guess().retry_after > 60, "the gate to close")
    assert bad_passwords(known) < 5
    assert not site.check_account(known).readings[0].locked


# --- what stands in between


def test_ntlm_legs_on_two_connections_are_told_apart_from_a_wrong_password(site: WindowsServer, known: Account):
    legs = Legs(known, "ntlm")
    with site.client() as one, site.client() as other:
        challenge = one.get("/endpoint/v1/probe", headers={"authorization": legs.next()})
        said = heard(other.get("/endpoint/v1/probe", headers={"authorization": legs.next(challenge)}))
    assert (said.status, said.kind) == (401, "connection_broken")
    assert bad_passwords(known) == 0


def test_a_proxy_that_spreads_requests_over_connections_breaks_ntlm_alone(
    site: WindowsServer, known: Account, tmp_path: Path
):
    assert kinit(known, tmp_path / "tickets")
    with spreading_proxy(site) as url:
        said = {
            "ntlm": site.curl("--ntlm", "-u", f"{known.logon}:{known.password}", url=url),
            "basic": site.curl("--basic", "-u", f"{known.logon}:{known.password}", url=url),
            "kerberos": site.curl("--negotiate", "-u", ":", url=url, tickets=tmp_path / "tickets"),
        }
    assert said["ntlm"].kind == "connection_broken"
    assert [said["basic"].status, said["kerberos"].status] == [200, 200]
    assert bad_passwords(known) == 0


@pytest.mark.parametrize("protocol", ["kerberos", "ntlm"])
def test_a_channel_binding_that_is_sent_must_be_right(
    site: WindowsServer, http: httpx2.Client, known: Account, protocol: str
):
    right = binding_of(site)
    assert Legs(known, protocol, right).probe(http).status == 200
    assert Legs(known, protocol).probe(http).status == 200
    wrong = Legs(known, protocol, right[:-1] + bytes([right[-1] ^ 1])).probe(http)
    assert (wrong.status, wrong.kind) == (401, "unauthenticated")
    assert bad_passwords(known) == 0


@pytest.mark.parametrize("protocol", ["kerberos", "ntlm"])
def test_a_channel_binding_may_be_demanded(strict: WindowsServer, account: Account, kerberos: Domain, protocol: str):
    strict.add_account(account)
    with strict.client() as http:
        assert Legs(account, protocol, binding_of(strict)).probe(http).status == 200
        absent = Legs(account, protocol).probe(http)
    assert (absent.status, absent.kind) == (401, "unauthenticated")
    assert "not bound" in absent.body["detail"]
    assert bad_passwords(account) == 0


# --- modes at run time


def settled(read: Callable[[], str], kind: str) -> None:
    """Wait until a change has reached the check-in process."""
    processes.until(lambda: read() == kind, f"the answer {kind!r}")


def test_modes_open_and_close_for_one_ring_while_it_runs(
    site: WindowsServer, known: Account, http: httpx2.Client, device: WindowsDevice
):
    since = site.last_event()
    pilot = Device(http, site.url).enrol(read_bundle(site.package(ring="pilot").path))
    other = Device(http, site.url).enrol(read_bundle(site.package().path))
    wanted = WindowsDevice(http, site.url, known, site.windows_bundle(known, ring="pilot"))
    assert wanted.by_basic().status == 200
    assert device.by_basic().status == 200

    site.open_mode("oauth", "pilot")  # its first line of its own keeps what was open for it
    assert {("pilot", "oauth"), ("pilot", "windows")} <= site.modes()
    with pytest.raises(AnsweredError, match="1 endpoints"):
        site.close_mode("oauth", "pilot")
    site.close_mode("oauth", "pilot", despite_endpoints=True)
    settled(lambda: heard(pilot.check_in()).kind, "mode_closed")
    assert other.check_in().status_code == 200
    assert wanted.by_basic().status == 200

    with pytest.raises(AnsweredError, match="last mode"):
        site.close_mode("windows", "pilot", despite_endpoints=True)
    site.open_mode("oauth", "pilot")
    settled(lambda: heard(pilot.check_in()).kind, "")
    site.close_mode("windows", "pilot", despite_endpoints=True)
    settled(lambda: wanted.knock().kind, "mode_closed")
    refused = wanted.by_basic()
    assert (refused.status, refused.kind, refused.offers) == (403, "mode_closed", ())
    assert refused.body["repair"] == "keyfast mode open windows --ring pilot"
    assert device.by_basic().status == 200
    site.open_mode("windows", "pilot")
    settled(lambda: wanted.by_basic().kind, "")

    told = [(row.kind, row.detail["mode"]) for row in site.events("mode_opened", "mode_closed", after=since)]
    assert told == [
        ("mode_opened", "oauth"),
        ("mode_closed", "oauth"),
        ("mode_opened", "oauth"),
        ("mode_closed", "windows"),
        ("mode_opened", "windows"),
    ]


def test_a_closed_mode_tries_no_password_and_anonymous_cannot_be_opened(strict: WindowsServer, account: Account):
    with pytest.raises(AnsweredError, match="recovery"):
        strict.open_mode("anonymous")
    strict.close_mode("windows")
    try:
        settled(lambda: strict.curl().kind, "mode_closed")
        assert strict.basic(account, WRONG).kind == "mode_closed"
        assert strict.ntlm(account, WRONG).kind == "mode_closed"
        assert bad_passwords(account) == 0
    finally:
        strict.open_mode("windows")


# --- outages


async def test_an_outage_of_the_domain_is_no_refusal(site: WindowsServer, known: Account, ad: Domain, tmp_path: Path):
    """Tickets and passwords granted a moment ago go on; what has to be asked is answered 503."""
    since = site.last_event()
    assert kinit(known, tmp_path / "tickets")
    assert site.negotiate(tmp_path / "tickets").status == 200
    rigs = [site.rig(site.windows_bundle(known), number) for number in range(2)]
    assert (await rigs[0].check_in(), rigs[0].said)[1] == "ok kerberos"
    with down(ad):
        for said in (site.ntlm(known), site.basic(known, "never-Asked-1")):
            assert (said.status, said.kind) == (503, "not_ready")
            assert said.retry_after > 0
        assert site.negotiate(tmp_path / "tickets").status == 200
        await rigs[0].check_in()
        assert rigs[0].said == "ok kerberos"
        await rigs[1].check_in()
        assert rigs[1].said == "not_ready"
        assert rigs[1].agent.record.failures == 1
        assert rigs[1].agent.record.hold is None
        told = site.await_events("directory_unreachable", after=since)
        assert told[0].detail["server"]
        view = site.check_account(known)
        assert "unreadable" in [finding.condition for finding in view.findings]
    site.await_events("directory_reachable", after=since)
    await rigs[1].check_in()
    assert rigs[1].said == "ok kerberos"
    assert site.ntlm(known).status == 200
    assert bad_passwords(known) == 0


# --- an agent's life


@pytest.mark.parametrize("kerberos_there", [True, False], ids=["kerberos", "ntlm"])
def test_the_whole_life_of_an_agent_in_windows_mode(
    site: WindowsServer, known: Account, tmp_path: Path, kerberos_there: bool
):
    mechanism = "kerberos" if kerberos_there else "ntlm"
    built = processes.run(
        "keyfast.cli.main",
        *("package", "create", "--mode", "windows", "--account", known.logon, "--json", "--data", str(site.data)),
    )
    assert built.returncode == 0, built.stderr
    assert known.password not in built.stdout
    agent = site.agent(tmp_path / "agent", kerberos=kerberos_there)
    agent.install(read_bundle(json.loads(built.stdout)["path"]))
    assert agent.check_in(), agent.output
    status = agent.status()
    assert (status["well"], status["mode"], status["mechanism"]) == (True, "windows", mechanism)
    assert (status["account"], status["credential_generation"]) == (known.logon, 1)
    site.kill()
    site.start()
    assert agent.check_in(), agent.output
    agent.start()
    seq = site.endpoint(status["endpoint"]).seq
    agent.close()
    found = site.endpoint(status["endpoint"])
    assert seq <= found.seq
    assert found.line.state == "active"
    assert found.fork is None
    assert [row.kind for row in reversed(found.events)] == ["endpoint_registered", "endpoint_enrolled"]
    assert known.password not in agent.output + agent.log.read_text() + json.dumps(status)
    assert bad_passwords(known) == 0


def test_a_package_that_wants_approval_lets_nobody_in_before(site: WindowsServer, known: Account, tmp_path: Path):
    agent = site.agent(tmp_path / "agent").install(site.windows_bundle(known, admission="approve"))
    assert not agent.check_in()
    assert agent.status()["last_refusal"] == "pending"
    assert not agent.check_in()
    waiting = [line for line in site.endpoints(state="pending") if line.name]
    assert len(waiting) == 1
    site.admin.post(f"/admin/v1/endpoints/{waiting[0].id}/approve", dict)
    assert agent.check_in(), agent.output
    assert site.endpoint(waiting[0].id).line.state == "active"


def test_joining_twice_is_one_endpoint(site: WindowsServer, device: WindowsDevice):
    assert device.by_basic().status == 200
    first = device.id
    device.joined = False
    assert device.by_basic().status == 200
    assert device.id == first
    kinds = [row.kind for row in site.endpoint(first).events]
    assert sorted(kinds) == ["endpoint_enrolled", "endpoint_registered"]


def test_an_account_in_use_stays_on_the_record_and_one_taken_off_lets_nobody_in(
    site: WindowsServer, known: Account, http: httpx2.Client
):
    site.remove_account(known)
    settled(lambda: site.basic(known).kind, "account_not_allowed")
    site.add_account(known)
    assert WindowsDevice(http, site.url, known, site.windows_bundle(known)).by_basic().status == 200
    with pytest.raises(AnsweredError, match="1 endpoints of 1 packages use"):
        site.remove_account(known)


def test_the_bundle_alone_holds_the_password(site: WindowsServer, known: Account, bundle_of: Callable[[], Bundle]):
    account = bundle_of().account
    assert account is not None
    assert (account.password, account.generation, account.realm) == (known.password, 1, known.domain.realm)
    assert known.password not in repr(account)


@pytest.fixture
def bundle_of(site: WindowsServer, known: Account) -> Callable[[], Bundle]:
    return lambda: site.windows_bundle(known)
