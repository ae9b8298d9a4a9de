"""Recovery check-ins and probes over real TLS against a real server, on both databases."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from tests.support import processes
from tests.support.device import PROBE, RECOVER, Device, PasswordDevice, read_bundle
from tests.support.postgres import shared_cluster
from tests.support.server import RunningServer

from keyfast.cli.client import AnsweredError
from keyfast.store import tables
from keyfast.store.database import Database
from keyfast.trust import hpke
from keyfast.trust.chain import TrustChain
from keyfast.trust.device import DeviceKey
from keyfast.trust.keyset import Keyset
from keyfast.trust.roles import CHANGE_TYP, PROBE_TYP, RECEIPT_TYP, TIME_TYP
from keyfast.wire import limits
from keyfast.wire.admin import AccountOrder, AccountView, Changed, EventLine, Installation, ModeOrder
from keyfast.wire.bundle import Bundle, BundleAccount
from keyfast.wire.changes import Change, ProbeProof
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder
from keyfast.wire.messages import Receipt, SignedTime

UUID = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"
FIRST, SECOND = "First-Passw0rd-0123456789", "Second-Passw0rd-0123456789"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server in front of the embedded directory, both modes open."""
    url = shared_cluster().create_database() if request.param == "postgres" else ""
    running = RunningServer(tmp_path_factory.mktemp("recovery") / "data", url)
    running.admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows", ""))
    yield running
    running.close()


@pytest.fixture
def http(site: RunningServer) -> Iterator[httpx2.Client]:
    with site.client() as client:
        yield client


def set_password(site: RunningServer, name: str, password: str) -> str:
    """Set an account's password and put it on record; return the account's key."""
    site.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(name, password))
    return site.admin.post("/admin/v1/accounts", AccountView, AccountOrder(name, password, ())).account


@pytest.fixture
def device(site: RunningServer, http: httpx2.Client, request: pytest.FixtureRequest) -> PasswordDevice:
    """An endpoint that has joined with an account of its own."""
    name = f"svc-{abs(hash(request.node.nodeid)) % 10**8}"
    key = set_password(site, name, FIRST)
    bundle = read_bundle(site.package(mode="windows", account=key).path)
    made = PasswordDevice(http, site.url, bundle)
    processes.until(lambda: made.visit().status_code == 200, "the check-in process to know the account")
    return made


@pytest.fixture
def rotated(site: RunningServer, device: PasswordDevice) -> PasswordDevice:
    """Its password was changed, and the new one is on record."""
    set_password(site, device.account.name, SECOND)

    def known() -> bool:
        body = device.recover().json()
        return "change" in body and opened(device, body)[1].generation == 2

    processes.until(known, "the check-in process to know the new password")
    return device


def chain(bundle: Bundle, delegations: list[str]) -> TrustChain:
    return TrustChain(bundle.installation, json.loads(bundle.root), delegations)


def opened(device: PasswordDevice, body: dict) -> tuple[Change, BundleAccount]:
    """Verify a change by the pinned root alone, and open its account as the device does."""
    change = chain(device.bundle, body["delegations"]).verify(body["change"], CHANGE_TYP, Change)
    reference = f"{change.epoch}.{change.seq}"
    secret = hpke.open_sealed(
        change.account, device.seal_key, purpose="web access server", endpoint=device.id, reference=reference
    )
    return change, msgspec.json.decode(secret.reveal(), type=BundleAccount)


def kind(answer: httpx2.Response) -> str:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert body["status"] == answer.status_code
    assert "Traceback" not in answer.text
    return body["class"]


def events(site: RunningServer, *kinds: str) -> list[EventLine]:
    found = site.admin.get("/admin/v1/events", list[EventLine], {"limit": 1000})
    return [event for event in found if event.kind in kinds]


def store(site: RunningServer, *statements: object) -> None:
    """Change the store behind the server's back, as a restored backup does."""

    async def run() -> None:
        database = await Database.open(site.settings.database_url)
        async with database.write() as conn:
            for statement in statements:
                await conn.execute(statement)
        await database.close()

    asyncio.run(run())


def forget(site: RunningServer, device: Device) -> None:
    store(
        site,
        *(
            table.delete().where((table.c.id if table is tables.endpoint else table.c.endpoint_id) == device.id)
            for table in (tables.endpoint, tables.presence, tables.device_key, tables.command, tables.inventory)
        ),
    )


# --- recovery and probe


def test_an_endpoint_recovers_proves_and_works_again(site: RunningServer, rotated: PasswordDevice):
    device = rotated
    body = device.recover(last_refusal="account_refused").json()
    change, account = opened(device, body)
    assert (account.password, account.generation) == (SECOND, 2)
    time = chain(device.bundle, body["delegations"]).verify(body["statement"], TIME_TYP, SignedTime)
    assert time.challenge == "c"
    assert (body["state"], body.get("epoch", 1)) == ("active", change.epoch)
    assert 40 <= body["next_try_s"] <= 80
    assert SECOND not in json.dumps(body)

    probed = device.try_access(change.id, SECOND, 2)
    assert probed.status_code == 200, probed.text
    proof = chain(device.bundle, probed.json()["delegations"]).verify(probed.json()["statement"], PROBE_TYP, ProbeProof)
    assert (proof.endpoint, proof.command, proof.challenge) == (device.id, change.id, "p")
    detail = site.endpoint(device.id)
    assert [command.state for command in detail.commands] == ["proven"]

    device.generation = 2
    used = device.visit(SECOND)
    assert used.status_code == 200
    assert "change" not in device.recover(profile_seq=used.json()["profile_seq"]).json()
    told = next(event for event in events(site, "endpoint_recovered") if event.endpoint == device.id)
    assert (told.detail["way"], told.detail["generation"], told.detail["address"]) == ("current", 2, "127.0.0.1")
    assert SECOND not in site.log.read_text()


def test_a_superseded_key_recovers_and_does_not_work(site: RunningServer, rotated: PasswordDevice):
    keys, rows, newer = tables.device_key, tables.endpoint, DeviceKey.generate()
    names = {"thumbprint": newer.thumbprint, "public_jwk": newer.public_jwk()}
    store(
        site,
        keys.update().where(keys.c.thumbprint == rotated.key.thumbprint).values(status="superseded"),
        keys.insert().values(thumbprint=newer.thumbprint, endpoint_id=rotated.id, status="current", since=1),
        rows.update().where(rows.c.id == rotated.id).values(names),
    )
    assert kind(rotated.visit(SECOND)) == "key_superseded"
    assert rotated.ask_token().json()["class"] == "key_superseded"
    rotated.key, former = newer, rotated.key
    assert rotated.ask_token().status_code == 200
    rotated.key = former
    _, account = opened(rotated, rotated.recover().json())
    assert account.password == SECOND


def test_an_endpoint_that_a_restored_backup_forgot_is_taken_back_by_its_receipt(
    site: RunningServer, rotated: PasswordDevice
):
    forget(site, rotated)
    assert kind(rotated.visit()) == "unknown_device"
    back = {"receipt": rotated.receipt, "seal_jwk": rotated.seal_key.public_jwk(), "hostname": "lab-1"}
    body = rotated.recover(**back).json()
    change, account = opened(rotated, body)
    assert (change.endpoint, account.password) == (rotated.id, SECOND)
    assert (
        chain(rotated.bundle, body["delegations"]).verify(body["receipt"], RECEIPT_TYP, Receipt).endpoint == rotated.id
    )
    assert site.endpoint(rotated.id).line.state == "active"
    assert rotated.try_access(change.id, SECOND, 2).status_code == 200
    rotated.generation = 2
    assert rotated.visit(SECOND).status_code == 200
    assert [event for event in events(site, "endpoint_readopted") if event.endpoint == rotated.id]


def test_receipts_that_are_not_the_caller_s_bring_nobody_back(site: RunningServer, device: PasswordDevice):
    forget(site, device)
    seal = {"seal_jwk": device.seal_key.public_jwk()}
    other = Keyset.generate("kf-other", 1)
    foreign = Receipt("kf-other", device.id, device.key.thumbprint, device.seal_key.thumbprint, 1, 1)
    forged = Keyset.generate(device.bundle.installation, 1)
    ours = msgspec.structs.replace(foreign, installation=device.bundle.installation)
    assert kind(device.recover(receipt=other.sign(RECEIPT_TYP, foreign), **seal)) == "foreign_installation"
    assert kind(device.recover(receipt=forged.sign(RECEIPT_TYP, ours), **seal)) == "unauthenticated"
    assert kind(device.recover(receipt=device.receipt)) == "unauthenticated"  # without its sealing key
    assert kind(device.recover()) == "unknown_device"
    own, device.key = device.key, DeviceKey.generate()
    assert kind(device.recover(receipt=device.receipt, **seal)) == "unauthenticated"
    device.key = own
    assert device.recover(receipt=device.receipt, **seal).status_code == 200


def test_a_revoked_endpoint_is_not_given_anything(site: RunningServer, rotated: PasswordDevice):
    site.admin.post(f"/admin/v1/endpoints/{rotated.id}/revoke", Changed)
    assert kind(rotated.recover()) == "revoked"
    assert kind(rotated.try_access(UUID, SECOND, 2)) == "revoked"


def test_outside_a_window_anonymous_callers_learn_nothing(site: RunningServer, rotated: PasswordDevice):
    answers = []
    for endpoint in (rotated.id, UUID, "", "x" * 64):
        answer = rotated.http.post(RECOVER, content=rotated.recovery(endpoint=endpoint), headers=JSON)
        assert kind(answer) == "unauthenticated"
        answers.append({name: value for name, value in answer.json().items() if name != "server_time"})
    assert all(answer == answers[0] for answer in answers)


def test_a_captured_recovery_is_not_taken_twice(device: PasswordDevice):
    assert device.recover().status_code == 200  # it holds a nonce now
    body = device.recovery()
    headers = JSON | {"dpop": device.proof("POST", RECOVER, body=body)}
    assert device.http.post(RECOVER, content=body, headers=headers).status_code == 200
    assert kind(device.http.post(RECOVER, content=body, headers=headers)) == "replayed"


def test_a_move_to_oauth_is_proven_by_a_token(site: RunningServer, device: PasswordDevice):
    device.fetch_token()
    answer = device.probe(UUID)
    assert answer.status_code == 200, answer.text
    assert answer.json()["statement"]
    assert device.check_in(seq=device.seq + 1).status_code == 200


# --- whatever is sent


def bad_bodies(device: PasswordDevice, body: bytes, limit: int) -> dict[str, tuple[bytes, str]]:
    told = json.loads(body)
    return {
        "empty": (b"", "malformed"),
        "truncated": (body[:-3], "malformed"),
        "not json": (b"\x00\xff\xfe", "malformed"),
        "an array": (b"[]", "malformed"),
        "deeply nested": (b"[" * 1500, "malformed"),
        "unknown member": (json.dumps(told | {"surprise": 1}).encode(), "malformed"),
        "no challenge": (json.dumps(told | {"challenge": ""}).encode(), "malformed"),
        "long challenge": (json.dumps(told | {"challenge": "c" * 65}).encode(), "malformed"),
        "negative number": (json.dumps(told | {"credential_generation": -1}).encode(), "malformed"),
        "number too large": (json.dumps(told | {"credential_generation": 2**31}).encode(), "malformed"),
        "wrong type": (json.dumps(told | {"account": 5}).encode(), "malformed"),
        "long account": (json.dumps(told | {"account": "a" * 200}).encode(), "malformed"),
        "too large": (b" " * (limit + 1), "too_large"),
    }


@pytest.mark.parametrize("path", [RECOVER, PROBE])
def test_whatever_is_sent_is_refused_by_its_class_and_the_server_lives(site, device, path):
    told = {"challenge": "p", "command": UUID, "account": device.key_of_account, "credential_generation": 1}
    probe = json.dumps(told).encode()
    body, limit = (device.recovery(), limits.MAX_RECOVER_BYTES) if path == RECOVER else (probe, limits.MAX_PROBE_BYTES)
    logon = device.basic(FIRST) if path == PROBE else {}
    before = site.endpoint(device.id)
    for name, (sent, expected) in bad_bodies(device, body, limit).items():
        assert kind(device.post(path, sent, logon)) == expected, name
    proofs = {
        "noise": ({"dpop": "a.b.c"}, "unauthenticated"),
        "enormous": ({"dpop": "a" * 5000}, "unauthenticated"),
        "another body": ({"dpop": device.proof("POST", path, body=body + b" ")}, "unauthenticated"),
        "another path": ({"dpop": device.proof("POST", "/oauth/token", body=body)}, "unauthenticated"),
        "another key": ({"dpop": device.proof("POST", path, body=body, key=DeviceKey.generate())}, "unknown_device"),
        "no nonce": ({"dpop": device.proof("POST", path, body=body, nonce="")}, "use_nonce"),
        "invented nonce": ({"dpop": device.proof("POST", path, body=body, nonce="A" * 34)}, "use_nonce"),
        "wrong media type": ({"content-type": "text/plain"}, "wrong_media_type"),
        "no proof": ({"dpop": ""}, "unauthenticated"),
    }
    for name, (headers, expected) in proofs.items():
        proof = {"dpop": device.proof("POST", path, body=body)}
        answer = device.http.post(path, content=body, headers=JSON | proof | logon | headers)
        assert kind(answer) == expected, name
    for headers in ({"authorization": "DPoP x"}, {"authorization": "Bearer x"}):
        if path == PROBE:
            assert kind(device.post(path, body, headers)) == "unauthenticated"
    for method in ("PUT", "DELETE"):
        assert kind(device.http.request(method, path)) == "not_found"
    after = site.endpoint(device.id)
    assert (after.seq, after.events, after.commands) == (before.seq, before.events, before.commands)
    assert device.visit().status_code == 200


# --- a server that went back in time


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of this test's own: others tell theirs that it went back, too."""
    running = RunningServer(tmp_path / "data")
    yield running
    running.close()


def test_a_server_that_went_back_in_time_hears_of_it_and_an_operator_ends_it(lonely: RunningServer):
    site = lonely
    with site.client() as client:
        went_back(site, Device(client, site.url).enrol(read_bundle(site.package().path)))


def went_back(site: RunningServer, device: Device) -> None:
    before = site.admin.get("/admin/v1/installation", Installation)
    assert before.restored_at == 0
    answer = device.check_in(epoch=before.epoch + 3, profile_seq=9)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["epoch"] == before.epoch + 4
    assert told["profile_seq"] > 9

    def noticed() -> bool:
        return site.admin.get("/admin/v1/installation", Installation).restored_at > 0

    processes.until(noticed, "the admin process to know")
    said = processes.run("keyfast.cli.main", "server", "info", "--data", str(site.data))
    assert "went back in time" in said.stdout
    ended = processes.run("keyfast.cli.main", "server", "end-recovery", "--data", str(site.data))
    assert ended.returncode == 0, ended.stderr
    after = site.admin.get("/admin/v1/installation", Installation)
    assert (after.epoch, after.restored_at) == (before.epoch + 4, 0)
    with pytest.raises(AnsweredError, match="not known to have gone back"):
        site.admin.post("/admin/v1/installation/end-recovery", Changed)
    assert len(events(site, "server_went_back", "server_recovery_ended")) == 2


def test_where_only_windows_recover_a_device_key_is_told_so(tmp_path_factory: pytest.TempPathFactory):
    running = RunningServer(
        tmp_path_factory.mktemp("windows-only") / "data", tables='\n[recovery]\ndevice_key = "window"\n'
    )
    try:
        with running.client() as client:
            device = Device(client, running.url).enrol(read_bundle(running.package().path))
            assert kind(device.recover()) == "window_closed"
    finally:
        running.close()
