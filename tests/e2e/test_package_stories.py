"""What becomes of packages on real endpoints: taken, migrated, refused; and of endpoints that are removed."""

import json
import time

import pytest
from msgspec.structs import replace
from tests.support import processes
from tests.support.device import read_bundle
from tests.support.packaged_agent import PackagedAgent

from keyfast.agent.platform import here
from keyfast.wire.admin import AccountOrder, AccountView, Changed, EventLine, ModeOrder
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "Package-Passw0rd-1"


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def agents(tmp_path):
    running = {}

    def named(name="pc"):
        return running.setdefault(name, PackagedAgent(tmp_path / name))

    yield named
    for agent in running.values():
        agent.close()


def events(server, kind):
    return [row for row in server.admin.get("/admin/v1/events", list[EventLine]) if row.kind == kind]


def until_event(server, kind, **detail):
    def found():
        return [row for row in events(server, kind) if detail.items() <= row.detail.items()] or None

    return processes.until(found, f"the event {kind}")


def until_well(agent):
    return processes.until(
        lambda: (status := agent.status())["well"] and status, f"well; log:\n{agent.log.read_text()}"
    )


def windows_package(server, password=PASSWORD):
    server.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder("svc-keyfast", password))
    account = server.admin.post("/admin/v1/accounts", AccountView, AccountOrder("svc-keyfast", password)).account
    server.admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows"))
    made = server.package(mode="windows", account=account)
    time.sleep(2.5)  # the check-in process reads modes and accounts every two seconds
    return made


def test_a_package_that_lies_there_is_taken_sealed_and_removed(server, agents):
    bundle = read_bundle(server.package().path)
    agent = agents().leave(bundle).start()
    status = until_well(agent)
    assert not agent.file.exists()
    assert status["vault"] in ("systemd-creds", "file")
    assert status["package"] == ""
    record, _ = here().read(agent.state)
    written = b"".join(path.read_bytes() for path in agent.state.iterdir() if path.is_file())
    assert record.device_key.encode() not in written
    assert bundle.statement.encode() not in written
    checked = agent.do("self-check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["contact"]) == (0, True)


def test_a_repair_and_an_older_package_write_nothing_back(server, agents):
    first, second = (read_bundle(windows_package(server, secret).path) for secret in (PASSWORD, PASSWORD + "x"))
    agent = agents().leave(second).start()
    until_well(agent)
    before = here().read(agent.state)[0].account
    for old in (first, second):
        agent.leave(old).restart()
        processes.until(lambda: not agent.file.exists(), "the package to be taken away")
        assert here().read(agent.state)[0].account == before
    assert until_well(agent)["credential_generation"] == 2


def test_an_oauth_package_takes_a_working_endpoint_out_of_windows_mode(server, agents):
    agent = agents().leave(read_bundle(windows_package(server).path)).start()
    before = until_well(agent)
    assert before["mode"] == "windows"
    oauth = server.package(ring="default")
    agent.leave(read_bundle(oauth.path)).restart()
    after = processes.until(
        lambda: (status := agent.status())["mode"] == "oauth" and status["well"] and status, agent.log.read_text()
    )
    assert (after["endpoint"], after["device_key"]) == (before["endpoint"], before["device_key"])
    processes.until(lambda: server.endpoint(after["endpoint"]).package == oauth.id, "the server to hear of it")
    detail = server.endpoint(after["endpoint"])
    assert len(server.endpoints()) == 1
    kinds = [row.kind for row in detail.events]
    assert kinds == ["endpoint_package_changed", "endpoint_enrolled", "endpoint_registered"]
    assert PASSWORD not in agent.log.read_text()


def test_an_oauth_package_whose_token_is_void_leaves_the_endpoint_where_it_works(server, agents):
    agent = agents().leave(read_bundle(windows_package(server).path)).start()
    before = until_well(agent)
    void = server.package()
    bundle = read_bundle(void.path)
    server.admin.post(f"/admin/v1/packages/{void.id}/revoke", Changed)
    agent.leave(bundle).restart()
    until_event(server, "enrolment_refused", **{"class": "enrolment_revoked", "package": void.id})
    for _ in range(6):  # each is one more visit
        agent.do("check-in")
        status = agent.status()
        if status["mode"] == "windows" and status["well"]:
            break
    assert (status["mode"], status["well"], status["endpoint"]) == ("windows", True, before["endpoint"])
    assert server.endpoint(before["endpoint"]).package != void.id


@pytest.mark.parametrize("known", [False, True])
def test_a_tampered_package_is_left_told_and_changes_nothing(server, agents, known):
    good = read_bundle(server.package().path)
    agent = agents()
    if known:
        until_well(agent.leave(good).start())
    claimed = read_bundle(server.package().path)
    agent.leave(replace(claimed, statement=good.statement)).restart()
    if known:
        told = until_event(server, "package_refused", **{"class": "tampered_package", "package": claimed.package})
        assert told[0].endpoint == agent.status()["endpoint"]
        assert agent.status()["well"]
    status = processes.until(lambda: ((found := agent.status()).get("package_fault") and found) or None, "the status")
    assert status["package_fault"] == "tampered_package"
    assert agent.file.exists()
    said = agent.do("status").stdout
    assert "tampered_package" in said
    assert "fetch the package again" in said
    assert (here().read(agent.state)[0] is not None) is known
    if known:
        agent.restart()
        agent.do("check-in")
        time.sleep(1.5)
        assert len(events(server, "package_refused")) == 1, "one event per change"


def test_a_package_of_another_installation_is_left_and_both_are_named(server, start_server, agents):
    other = start_server()
    agent = agents().leave(read_bundle(server.package().path)).start()
    until_well(agent)
    foreign = read_bundle(other.package().path)
    agent.leave(foreign).restart()
    until_event(server, "package_refused", **{"class": "foreign_installation", "package": foreign.package})
    status = agent.status()
    assert (status["well"], status["package_fault"]) == (True, "foreign_installation")
    assert foreign.installation in status["package"]
    assert agent.file.exists()


def test_an_exhausted_package_is_told_on_both_sides(server, agents):
    package = server.package(max_uses=1)
    bundle = read_bundle(package.path)
    until_well(agents("first").leave(bundle).start())
    second = agents("second").leave(bundle).start()
    until_event(server, "enrolment_refused", **{"class": "enrolment_exhausted", "package": package.id})
    status = second.status()
    assert (status["well"], status["last_refusal"]) == (False, "enrolment_exhausted")
    checked = second.do("self-check", "--json")
    found = json.loads(checked.stdout)
    assert (checked.returncode, found["refusal"]) == (3, "enrolment_exhausted")
    assert [step["what"] for step in found["steps"] if step["good"]] == ["DNS", "TCP", "TLS"]


def test_a_package_whose_account_has_changed_since_is_told_on_both_sides(server, agents):
    package = windows_package(server)
    old = read_bundle(package.path)
    windows_package(server, PASSWORD + "x")
    agent = agents().leave(old).start()
    told = until_event(server, "enrolment_refused", reason="account_changed", package=package.id)
    assert "it brings generation 1 of 2" in told[0].detail["why"]
    assert "this is generation 1 of 2" in agent.status()["reason"] + agent.log.read_text()


def test_an_uninstallation_is_told_and_a_reinstallation_comes_back(server, agents):
    bundle = read_bundle(server.package(max_uses=9).path)
    agent = agents().leave(bundle).start()
    endpoint = until_well(agent)["endpoint"]
    agent.close()
    gone = agent.do("uninstall", "--keep-state")
    assert gone.stdout == "uninstalled; the server was told\n"
    line = server.endpoint(endpoint).line
    assert (line.state, line.silent) == ("retired", False)
    assert [row.id for row in server.endpoints(state="retired")] == [endpoint]
    agent.leave(bundle).start()
    processes.until(lambda: server.endpoint(endpoint).line.state == "active", "it to come back")
    assert [row.kind for row in server.endpoint(endpoint).events][:2] == ["endpoint_returned", "endpoint_retired"]
    agent.close()
    agent.do("uninstall")
    assert not agent.state.exists()
    assert server.endpoint(endpoint).line.state == "retired"


def test_an_uninstallation_without_a_server_finishes_and_says_so(server, agents):
    agent = agents().leave(read_bundle(server.package().path)).start()
    until_well(agent)
    agent.close()
    server.close()
    gone = agent.do("uninstall")
    assert (gone.returncode, "the server could not be told" in gone.stdout) == (0, True)
    assert not agent.state.exists()
    server.start()


@pytest.mark.slow
def test_a_vault_that_does_not_open_is_told_and_a_new_package_begins_anew(server, agents, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")  # no systemd-creds: the key lies in a file that can be lost
    agent = agents().leave(read_bundle(server.package().path)).start()
    first = until_well(agent)
    assert first["vault"] == "file"
    agent.close()
    (key,) = agent.state.glob("key-*")
    content = key.read_bytes()
    key.unlink()
    held = (agent.state / "client-database").read_bytes()
    agent.start()
    processes.until(lambda: "cannot read" in agent.log.read_text(), "the agent to say so")
    told = agent.do("status", "--json")
    assert (told.returncode, json.loads(told.stdout)["well"]) == (1, False)
    assert f"bring back {key}" in told.stdout
    assert (agent.state / "client-database").read_bytes() == held
    key.write_bytes(content)
    key.chmod(0o600)
    assert until_well(agent.restart())["endpoint"] == first["endpoint"], "nothing was lost"
    agent.close()
    key.unlink()
    agent.leave(read_bundle(server.package().path)).start()
    processes.until(lambda: not agent.file.exists(), "it to begin anew", 120)
    assert until_well(agent)["endpoint"] != first["endpoint"]
    (aside,) = agent.state.glob("client-database.sealed-*")
    assert aside.stat().st_size > 0
