"""Whatever is sent to log on or to join: a refusal with its class, no password tried, nothing written, and it lives."""

import base64
import json
from collections.abc import Iterator

import httpx2
import pytest
from tests.support.device import CHECK_IN, read_bundle
from tests.support.samba import Account, Domain
from tests.support.server import RunningServer
from tests.support.windows import Said, WindowsServer, bad_passwords
from tests.support.windows_client import WindowsDevice, basic, heard

from keyfast.wire.bundle import Bundle

WRONG = "Wr0ng-Passw0rd"


@pytest.fixture(scope="module")
def site(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("bad") / "data", ad)
    yield running
    running.close()


@pytest.fixture(scope="module")
def package(site: WindowsServer) -> tuple[Account, Bundle]:
    """A client authentication account, and a package of it."""
    account = site.new_account("svc-bad")
    return account, site.windows_bundle(account)


@pytest.fixture
def http(site: WindowsServer) -> Iterator[httpx2.Client]:
    with site.client() as client:
        yield client


@pytest.fixture
def device(site: WindowsServer, package: tuple[Account, Bundle], http: httpx2.Client) -> WindowsDevice:
    """An endpoint that has not joined yet."""
    return WindowsDevice(http, site.url, *package)


GARBAGE = {
    "oversized": ("Negotiate " + "A" * 70_000, "unauthenticated"),
    "no scheme": ("xyzzy", "unauthenticated"),
    "unknown scheme": ("Digest abc", "unauthenticated"),
    "empty negotiate": ("Negotiate", "unauthenticated"),
    "not base64": ("Negotiate !!!", "unauthenticated"),
    "random token": ("Negotiate " + base64.b64encode(bytes(range(200))).decode(), "unauthenticated"),
    "cut kerberos": (
        "Negotiate " + base64.b64encode(b"\x60\x82\x05\x00\x06\x09*\x86H\x86\xf7\x12\x01\x02\x02").decode(),
        "unauthenticated",
    ),
    "cut ntlm": ("NTLM " + base64.b64encode(b"NTLMSSP\0\1\0\0\0").decode(), "unauthenticated"),
    "ntlm of no kind": ("NTLM " + base64.b64encode(b"NTLMSSP\0\x09\0\0\0" + bytes(50)).decode(), "connection_broken"),
    "last leg first": ("NTLM " + base64.b64encode(b"NTLMSSP\0\3\0\0\0" + bytes(60)).decode(), "connection_broken"),
    "helper command": ("NTLM KK BH", "unauthenticated"),
    "basic without colon": ("Basic " + base64.b64encode(b"svc-see").decode(), "unauthenticated"),
    "basic without password": ("Basic " + base64.b64encode(b"CORP\\svc-see:").decode(), "unauthenticated"),
    "basic without name": ("Basic " + base64.b64encode(b":secret").decode(), "unauthenticated"),
    "basic not utf-8": ("Basic " + base64.b64encode(b"\xff\xfe:secret").decode(), "unauthenticated"),
    "basic with nul": ("Basic " + base64.b64encode(b"a\0b:secret").decode(), "unauthenticated"),
    "basic wildcard": ("Basic " + base64.b64encode(b"*:secret").decode(), "account_not_allowed"),
    "basic filter": ("Basic " + base64.b64encode(b"svc-see)(cn=*:secret").decode(), "account_not_allowed"),
    "basic long name": ("Basic " + base64.b64encode(b"a" * 5000 + b":secret").decode(), "unauthenticated"),
}


def no_trace(said: Said) -> None:
    assert "Traceback" not in str(said.body)
    assert ".py" not in str(said.body)


@pytest.mark.parametrize("name", GARBAGE)
def test_a_bad_authorization_is_refused_and_nothing_is_written(site: WindowsServer, device: WindowsDevice, name: str):
    header, kind = GARBAGE[name]
    endpoints = len(site.endpoints(limit=1000))
    device.fresh()
    said = heard(device.send(device.body(), headers={"authorization": header}))
    no_trace(said)
    assert said.kind == kind
    assert heard(device.http.get("/endpoint/v1/probe", headers={"authorization": header})).kind == kind
    assert len(site.endpoints(limit=1000)) == endpoints
    assert bad_passwords(device.account) == 0
    assert device.by_basic().status == 200


def test_two_authorizations_are_none(device: WindowsDevice):
    headers = [("authorization", basic(device.account))] * 2
    assert heard(device.http.get("/endpoint/v1/probe", headers=headers)).kind == "unauthenticated"


JOINS = {
    "foreign": "foreign_installation",
    "oauth": "mode_closed",
    "garbage": "unauthenticated",
    "empty": "unauthenticated",
    "seal": "malformed",
    "no inventory": "malformed",
    "unknown member": "malformed",
}


@pytest.mark.parametrize("what", JOINS)
def test_a_bad_join_is_refused_and_nobody_joins(
    site: WindowsServer, server: RunningServer, device: WindowsDevice, what: str
):
    endpoints = len(site.endpoints(limit=1000))
    device.fresh()
    body = bad_join(site, server, device, what)
    said = heard(device.send(body, headers={"authorization": basic(device.account)}))
    no_trace(said)
    assert said.kind == JOINS[what]
    assert len(site.endpoints(limit=1000)) == endpoints
    assert device.by_basic().status == 200


def bad_join(site: WindowsServer, server: RunningServer, device: WindowsDevice, what: str) -> bytes:
    if what == "foreign":
        return device.body(join=device.join(statement=read_bundle(server.package().path).statement))
    if what == "oauth":
        return device.body(join=device.join(statement=read_bundle(site.package().path).statement))
    if what in ("garbage", "empty"):
        return device.body(join=device.join(statement="a.b.c" if what == "garbage" else ""))
    if what == "seal":
        return device.body(join=device.join(seal_jwk={"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}))
    if what == "no inventory":
        return device.body(inventory=None)
    told = json.loads(device.body())
    told["join"]["surprise"] = 1
    return json.dumps(told).encode()


def test_whoever_is_unknown_and_does_not_join_is_told_so(device: WindowsDevice):
    device.joined = True
    assert device.by_basic().kind == "unknown_device"
    device.joined = False
    assert device.by_basic().status == 200


def test_a_proof_is_demanded_before_any_password(site: WindowsServer, device: WindowsDevice):
    device.fresh()
    for headers in ({"dpop": ""}, {"dpop": "garbage"}):
        sent = headers | {"authorization": basic(device.account, WRONG)}
        assert heard(device.send(device.body(), headers=sent)).kind == "unauthenticated"
    proof = device.proof("POST", CHECK_IN, body=device.body(seq=99))
    sent = {"dpop": proof, "authorization": basic(device.account, WRONG)}
    assert heard(device.send(device.body(), headers=sent)).kind == "unauthenticated"
    assert bad_passwords(device.account) == 0


def test_a_replayed_check_in_is_refused_and_resync_goes_on(site: WindowsServer, device: WindowsDevice):
    headers = {"authorization": basic(device.account)}
    device.fresh()
    body = device.body()
    first = heard(device.send(body, headers=headers))
    assert first.status == 200
    device.took(body, first)
    before = site.endpoint(device.id)
    again = heard(device.send(body, headers=headers))
    assert (again.status, again.kind, again.body["expected_seq"]) == (409, "replayed", 2)
    assert site.endpoint(device.id).seq == before.seq
    assert heard(device.send(device.body(seq=2), headers=headers)).status == 200  # with the grant of that answer
    after = site.endpoint(device.id)
    assert after.seq == 2
    assert after.fork is not None
    assert after.fork.kind == "rolled_back"
