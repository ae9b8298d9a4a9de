"""Packages against a real server: from order to download, through crashes, refusals and a change of mode."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.device import Device, PasswordDevice, read_bundle
from tests.support.server import RunningServer

from keyfast.core.package import PackageKind
from keyfast.wire.admin import AccountOrder, AccountView, Changed, EventLine, ModeOrder, PackageLine
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder
from keyfast.wire.packages import PackageView

ACCOUNT, PASSWORD = "svc-see", "a password of the account"
MAKER = """
import asyncio, os, sys
from pathlib import Path
from keyfast import settings
from keyfast.core.package import PackageKind
from keyfast.server import compose, compose_admin
from keyfast.installers.bundle import BundleInstaller
from keyfast.services.package_build import Workshop
from keyfast.services.package_files import PackageFiles
from keyfast.wire.admin import PackageOrder

data, mark, kept = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

class Doomed(BundleInstaller):
    def base(self, told):
        return os._exit(9) if mark == "base" else BundleInstaller.base(self, told)
    def stamp(self, base, stamp):
        made = BundleInstaller.stamp(self, base, stamp)
        kept.write_bytes(made)
        return os._exit(9) if mark == "stamp" else made

class Files(PackageFiles):
    def write(self, name, artefact):
        super().write(name, artefact)
        if mark == "written":
            os._exit(9)

async def main():
    parts = await compose.open_parts(settings.load(data))
    service = compose_admin.admin_service(parts).packages
    service._workshop = Workshop(Files(parts.settings.package_files), {PackageKind.BUNDLE: Doomed(data)})
    await service.create(PackageOrder(), "doomed")

asyncio.run(main())
"""


@pytest.fixture
def keyfast(server: RunningServer):
    """Returns what runs the command line against the server."""

    def run(*words: str, code: int = 0):
        done = processes.run("keyfast.cli.main", *words, KEYFAST_DATA=str(server.data))
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def refusals(server: RunningServer, package: str, reason: str = "", again=lambda: None) -> list[dict]:
    """Refused enrolments that were told of a package, or of a token that names it; ``again`` is done until they are."""

    def found():
        again()
        events = server.admin.get("/admin/v1/events", list[EventLine], {"limit": 200})
        told = [event.detail for event in events if event.kind == "enrolment_refused"]
        of_package = [detail for detail in told if package in (detail["package"], detail["claimed"])]
        return [detail for detail in of_package if reason in ("", detail["reason"])] or None

    return processes.until(found, "the refusal to be told")


def test_a_package_from_order_to_revocation(server, keyfast, tmp_path):
    (serials := tmp_path / "serials.txt").write_text("# the lab\nABC-1  # window\n\nabc-2\n")
    made = json.loads(keyfast("package", "create", "--serials", str(serials), "--ring", "labs", "--json").stdout)
    assert (made["state"], made["serials"], made["kind"]) == ("ready", 2, "bundle")
    told = keyfast("package", "show", made["id"]).stdout
    assert "2 computers" in told
    assert "in use" in told
    target = tmp_path / "bundle.tar.gz"
    keyfast("package", "download", made["id"], "-o", str(target))
    assert target.read_bytes() == Path(made["path"]).read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert "exists already" in keyfast("package", "download", made["id"], "-o", str(target), code=2).stderr
    assert "nothing stands against" in keyfast("package", "verify", str(target)).stdout
    (altered := tmp_path / "altered.tar.gz").write_bytes(gzip.compress(gzip.decompress(target.read_bytes()) + b"\0"))
    verdict = json.loads(keyfast("package", "verify", str(altered), "--json", code=1).stdout)
    assert (verdict["genuine"], verdict["package"]["id"]) == (False, made["id"])
    (other := tmp_path / "other").write_bytes(b"something else")
    assert "no package of this installation" in keyfast("package", "verify", str(other), code=1).stdout
    keyfast("package", "revoke", made["id"])
    assert not Path(made["path"]).exists()
    assert "revoked" in keyfast("package", "verify", str(target), code=1).stdout
    assert "is revoked" in keyfast("package", "download", made["id"], "-o", str(tmp_path / "x"), code=1).stderr
    assert list(tmp_path.glob(".*.part")) == []
    rows = json.loads(keyfast("package", "list", "--json").stdout)
    assert next(row["faults"] for row in rows if row["id"] == made["id"]) == ["revoked"]
    kinds = {line["kind"]: line["missing"] for line in json.loads(keyfast("package", "kinds", "--json").stdout)}
    assert kinds["bundle"] == []
    assert set(kinds) == set(PackageKind)


def test_a_file_that_was_altered_on_the_server_is_not_taken_for_the_package(server, keyfast, tmp_path):
    made = server.package()
    path = Path(made.path)
    path.write_bytes(path.read_bytes() + b"\0")
    target = tmp_path / "bundle.tar.gz"
    assert "not what is on record" in keyfast("package", "download", made.id, "-o", str(target), code=1).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["base", "stamp", "written"])
def test_a_build_that_is_killed_anywhere_is_ended_by_the_next_start(tmp_path, mark):
    server = RunningServer(tmp_path / "data")
    try:
        processes.stop(server.process)
        (script := tmp_path / "maker.py").write_text(MAKER)
        kept = tmp_path / "kept.tar.gz"
        done = subprocess.run(
            [sys.executable, str(script), str(server.data), mark, str(kept)],
            check=False,
            capture_output=True,
            env=processes.environment(),
            timeout=60,
        )
        assert done.returncode == 9, done.stderr
        server.start()
        (line,) = server.admin.get("/admin/v1/packages", list[PackageLine])
        assert (line.state, line.faults) == ("failed", ("failed",))
        assert "was stopped" in line.reason
        assert not Path(line.path).exists()
        if mark != "base":
            with server.client() as http:
                device = Device(http, server.url)
                device.register(read_bundle(kept).statement)
                assert device.register(read_bundle(kept).statement).json()["class"] == "enrolment_revoked"
            assert [told["reason"] for told in refusals(server, line.id)] == ["unknown"]
    finally:
        server.close()


def test_why_a_package_lets_nobody_in_is_an_event(server, http):
    """The token, through OAuth: used up, revoked, altered, of another installation, for other computers."""
    made = server.package(max_uses=1)
    bundle = read_bundle(made.path)
    first, second, third = (Device(http, server.url, f"lab-{number}") for number in range(3))
    first.enrol(bundle)
    for device in (second, third):
        device.register(bundle.statement)
        answer = device.register(bundle.statement)
        assert answer.json()["class"] == "enrolment_exhausted"
    assert [told["reason"] for told in refusals(server, made.id)] == ["exhausted"]

    listed = server.package(serials=("S-1",))
    statement = read_bundle(listed.path).statement
    answer = second.register(statement, keyfast_hardware={"serial": "S-2"})
    assert (answer.status_code, answer.json()["class"]) == (400, "enrolment_not_listed")
    assert "S-2" in refusals(server, listed.id)[0]["why"]
    assert second.register(statement, keyfast_hardware={"serial": " s-1 "}).status_code == 201

    altered = server.package()
    head, payload, signature = read_bundle(altered.path).statement.split(".")
    spoilt = f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    assert third.register(spoilt).json()["class"] == "unauthenticated"
    (told,) = refusals(server, altered.id)
    assert (told["reason"], told["package"], told["name"]) == ("tampered", "", "lab-2")


def test_an_endpoint_shows_where_it_came_from(server, http, keyfast):
    made = server.package(ring="labs")
    device = Device(http, server.url).enrol(read_bundle(made.path))
    assert device.check_in().status_code == 200
    told = keyfast("endpoint", "show", device.id).stdout
    assert "still current" in told
    came = json.loads(keyfast("package", "endpoints", made.id, "--json").stdout)
    assert [(one["id"], one["in_use"], one["seen_at"] > 0) for one in came] == [(device.id, True, True)]
    view = server.admin.get(f"/admin/v1/packages/{made.id}", PackageView)
    assert (view.line.uses, view.line.using) == (1, 1)
    assert 0 < view.line.used_at <= view.seen_at
    keyfast("package", "revoke", made.id)
    assert "revoked" in keyfast("endpoint", "show", device.id).stdout
    assert device.check_in().status_code == 200


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A server whose account is in the embedded directory, with Windows mode open."""
    running = RunningServer(tmp_path_factory.mktemp("windows"))
    admin = running.admin
    admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(ACCOUNT, PASSWORD))
    account = admin.post("/admin/v1/accounts", AccountView, AccountOrder(ACCOUNT, PASSWORD)).account
    admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows"))
    yield running, account
    running.close()


@pytest.fixture
def stale(windows):
    """A package whose account got another password after it was built, and one built since."""
    running, account = windows
    before = running.package(mode="windows", account=account)
    new = f"another {time.monotonic_ns()}"
    running.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(ACCOUNT, new))
    running.admin.post("/admin/v1/accounts", AccountView, AccountOrder(ACCOUNT, new))
    return before, running.package(mode="windows", account=account)


def joined(device: PasswordDevice, **changes) -> int:
    """Check in until the check-in process has read of mode and account; return the status."""

    def tried():
        answer = device.visit(**changes)
        return answer if answer.json().get("class") not in ("unauthenticated", "account_not_allowed") else None

    return processes.until(tried, "the check-in process to know the account").status_code


def test_a_package_whose_account_has_changed_since_says_so_everywhere(windows, stale, keyfast):
    running, _ = windows
    before, _ = stale
    with running.client() as http:

        def knock():
            # Another computer each time: a server that has not heard of the change yet, and remembers the password
            # from a minute ago, may let one in.
            return PasswordDevice(http, running.url, read_bundle(before.path)).visit().json()

        def refused():
            answer = knock()
            return answer.get("class") == "account_refused" and "generation" in answer["presented"]

        processes.until(refused, "the refusal that names the generation")
        told = refusals(running, before.id, "account_changed", knock)[0]
    assert told["package"] == before.id
    assert f"it brings generation {before.generation} of " in told["why"]
    view = running.admin.get(f"/admin/v1/packages/{before.id}", PackageView)
    assert (view.line.faults, view.newest_generation > view.line.generation) == (("account_changed",), True)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [({"disabled": True}, "disabled"), ({"must_change": True}, "must be changed"), ({"max_age_days": 5}, "expires in")],
)
def test_no_package_is_built_with_an_account_that_will_not_last(windows, trouble, said):
    running, _ = windows
    name = f"svc-{said.replace(' ', '-')}"
    running.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(name, PASSWORD))
    account = running.admin.post("/admin/v1/accounts", AccountView, AccountOrder(name, PASSWORD)).account
    words = ("package", "create", "--mode", "windows", "--account", account)
    env = {"KEYFAST_DATA": str(running.data)}
    assert processes.run("keyfast.cli.main", *words, **env).returncode == 0
    running.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(name, **trouble))
    done = processes.run("keyfast.cli.main", *words, **env)
    assert done.returncode == 1
    assert said in done.stderr
    assert "try: " in done.stderr
    if "max_age_days" in trouble:
        done = processes.run("keyfast.cli.main", *words, "--despite", "expires_soon", **env)
        assert done.returncode == 0
        assert "expires in" in done.stderr


def test_an_oauth_package_over_a_windows_endpoint_keeps_its_record_and_history(windows):
    running, account = windows
    first = running.package(mode="windows", account=account)
    second = running.package(ring="moved")
    with running.client() as http:
        device = PasswordDevice(http, running.url, read_bundle(first.path))
        assert joined(device) == 200
        before = running.endpoint(device.id)
        statement = read_bundle(second.path).statement
        answer = device.register(statement)
        if answer.status_code != 201:
            answer = device.register(statement)
        assert answer.json()["client_id"] == device.id
        device.fetch_token()
        assert Device.check_in(device).status_code == 200
        after = running.endpoint(device.id)
    assert (after.line.id, after.thumbprint, after.registered_at) == (
        device.id,
        before.thumbprint,
        before.registered_at,
    )
    assert (after.seq, after.package, after.origin.in_use) == (before.seq + 1, second.id, True)
    assert [event.kind for event in after.events][:1] == ["endpoint_package_changed"]
    uses = [running.admin.get(f"/admin/v1/packages/{one.id}", PackageView).line for one in (first, second)]
    assert [(line.uses, line.using) for line in uses] == [(1, 0), (1, 1)]


def test_the_agent_goes_from_an_account_to_oauth_by_a_package_alone(windows, tmp_path):
    """The ring of the Windows package is closed to OAuth until then; the second package is of another ring."""
    running, account = windows
    running.admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows", "shared"))
    first = running.package(mode="windows", account=account, ring="shared")
    agent = RealAgent(tmp_path / "state").install(read_bundle(first.path))
    processes.until(agent.check_in, "the agent to check in with the account")
    before, id_ = agent.status(), agent.status()["endpoint"]
    second = running.package(ring="by token")
    agent.install(read_bundle(second.path))
    assert agent.check_in(), agent.output
    after, record = agent.status(), running.endpoint(id_)
    assert (after["mode"], after["endpoint"], after["device_key"]) == ("oauth", id_, before["device_key"])
    assert (record.package, record.origin.in_use, record.line.state) == (second.id, True, "active")
    kinds = [event.kind for event in record.events]
    assert kinds[0] == "endpoint_package_changed"
    assert "endpoint_enrolled" in kinds
    assert [event.detail["mode"] for event in record.events if event.kind == kinds[0]] == ["oauth"]


def test_a_revoked_package_moves_no_agent_and_it_goes_on_with_its_account(windows, tmp_path):
    running, account = windows
    first = running.package(mode="windows", account=account)
    agent = RealAgent(tmp_path / "state").install(read_bundle(first.path))
    processes.until(agent.check_in, "the agent to check in with the account")
    second = running.package()
    bundle = read_bundle(second.path)
    running.admin.post(f"/admin/v1/packages/{second.id}/revoke", Changed)
    agent.install(bundle)
    agent.check_in()
    assert [told["reason"] for told in refusals(running, second.id)] == ["revoked"]
    record = running.endpoint(agent.status()["endpoint"])
    assert (record.package, record.line.state) == (first.id, "active")
