"""What happens to real endpoints: copied, killed, out of time, told off, told to hurry."""

import random
import time

import httpx2
import pytest
from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.device import read_bundle
from tests.support.require import require

from keyfast.trust.statement import label
from keyfast.wire.admin import Changed, CommandLine, KeyLine

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def agents():
    running = []
    yield running
    for agent in running:
        agent.close()


def only_endpoint(server):
    lines = server.endpoints()
    assert len(lines) == 1, lines
    return server.endpoint(lines[0].id)


def test_two_copies_of_one_agent_directory_are_found_out_and_neither_is_locked_out(server, tmp_path):
    # 1. One endpoint, and an image of it.
    original = RealAgent(tmp_path / "original").install(read_bundle(server.package().path))
    assert original.check_in(), original.output
    copy = original.copy(tmp_path / "copy")

    # 2. Both check in. The first time they meet it could still be an image that went back in time.
    assert original.check_in(), original.output
    assert copy.check_in(), copy.output
    assert only_endpoint(server).fork.kind == "rolled_back"
    assert only_endpoint(server).line.state == "active"

    # 3. The original comes back: both live.
    assert original.check_in(), original.output
    detail = only_endpoint(server)
    assert detail.line.state == "clone_suspect"
    assert detail.fork.kind == "clone"

    # 4. The administrator sees both sides, and neither is ever locked out.
    assert detail.fork.displaced["instance"] != detail.fork.arrived["instance"]
    assert detail.fork.displaced["seen_at"] > 0
    assert detail.fork.arrived["seen_at"] > 0
    for _ in range(3):
        assert copy.check_in(), copy.output
        assert original.check_in(), original.output
    assert copy.status()["well"]
    assert original.status()["well"]

    # 5. Once one of them is gone and the suspicion is cleared, it stays cleared, whichever spoke last.
    assert copy.check_in(), copy.output
    server.admin.post(f"/admin/v1/endpoints/{detail.line.id}/clear", Changed)
    for _ in range(3):
        assert original.check_in(), original.output
    assert only_endpoint(server).line.state == "active"


def test_an_image_that_is_restored_again_and_again_is_no_clone(server, tmp_path):
    lab = RealAgent(tmp_path / "lab").install(read_bundle(server.package().path))
    assert lab.check_in(), lab.output
    image = tmp_path / "image"
    lab.copy(image)
    for n in range(3):
        for _ in range(2):
            assert lab.check_in(), lab.output
        lab = RealAgent(image).copy(tmp_path / f"restored{n}")
        assert lab.check_in(), lab.output
    detail = only_endpoint(server)
    assert detail.line.state == "active"
    assert detail.fork.kind == "rolled_back"
    assert detail.fork.count == 3


def another_time(when):
    """What runs an agent at another time, and without programs beside it: libfaketime breaks the wait for them."""
    faketime = require("faketime", "faketime")
    return ("/usr/bin/env", "PATH=/nowhere", faketime, "--exclude-monotonic", "-f", when)


@pytest.mark.parametrize("years", [-10, 10])
def test_an_endpoint_whose_clock_is_ten_years_off_enrols_and_checks_in(server, tmp_path, agents, years):
    prefix = another_time(f"{years:+d}y")
    agent = RealAgent(tmp_path / "agent", prefix).install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    assert agent.check_in(), agent.output
    detail = only_endpoint(server)
    assert detail.line.state == "active"
    assert abs(detail.clock_offset_s - years * 365.25 * 86400) < 10 * 86400, "the clock really was off"
    assert abs(detail.line.seen_at - time.time()) < 120
    agents.append(agent.start())
    seen = detail.seq
    processes.until(lambda: only_endpoint(server).seq > seen or agent.status()["well"], "the service to be well")


def test_a_clock_of_1970_enrols_and_checks_in(server, tmp_path):
    agent = RealAgent(tmp_path / "agent", another_time("@1970-01-02 00:00:00"))
    agent.install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    assert only_endpoint(server).clock_offset_s < -50 * 365 * 86400


def test_an_agent_killed_at_any_moment_goes_on(server, tmp_path, agents):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    agents.append(agent)
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for _ in range(8):
        agent.start()
        time.sleep(
            chance.uniform(0.05, 2.5)
        )  # the moment is the point: anywhere between start and the end of a check-in
        agent.kill()
    agent.start()
    processes.until(lambda: agent.status()["well"], "the agent to be well")
    acknowledged = agent.status()
    detail = only_endpoint(server)
    assert detail.line.id == acknowledged["endpoint"]
    assert detail.line.state == "active"
    assert detail.fork is None, "a kill must never look like a copied disk"


def test_server_and_agent_killed_together_go_on(server, tmp_path, agents):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    agents.append(agent.start())
    processes.until(lambda: agent.status()["well"], "the first check-in")
    before = only_endpoint(server).seq
    server.kill()
    agent.kill()
    assert not agent.check_in()
    assert "NOT WELL" in agent.do("status").stdout
    server.start()
    assert agent.check_in(), agent.output
    assert only_endpoint(server).seq > before
    assert only_endpoint(server).fork is None


def test_a_command_travels_and_its_result_comes_back(server, tmp_path):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    endpoint = only_endpoint(server).line.id
    server.admin.post(f"/admin/v1/endpoints/{endpoint}/check-in-now", CommandLine, {"interval_s": 120})
    assert agent.check_in(), agent.output
    assert agent.check_in(), agent.output
    detail = server.endpoint(endpoint)
    assert [command.state for command in detail.commands] == ["applied"], detail.commands
    assert agent.status()["next_check_in_s"] <= 132


def test_a_revoked_endpoint_keeps_everything_and_comes_back_when_reinstated(server, tmp_path):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    endpoint = only_endpoint(server).line.id
    server.admin.post(f"/admin/v1/endpoints/{endpoint}/revoke", Changed)
    assert not agent.check_in()
    told = agent.status()
    assert told["last_refusal"] == "revoked"
    assert told["endpoint"] == endpoint
    server.admin.post(f"/admin/v1/endpoints/{endpoint}/reinstate", Changed)
    assert agent.check_in(), agent.output


def test_keys_rotate_and_a_sleeping_endpoint_does_not_notice(server, tmp_path):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    for role in ("token", "command", "profile", "receipt", "token"):
        done = processes.run("keyfast.cli.main", "keys", "rotate", role, "--data", str(server.data))
        assert done.returncode == 0, done.stderr
    endpoint = only_endpoint(server).line.id
    server.admin.post(f"/admin/v1/endpoints/{endpoint}/check-in-now", CommandLine, {"interval_s": 120})

    def signed_by_the_new_keys():
        return agent.check_in() and server.endpoint(endpoint).commands[0].state == "applied"

    processes.until(signed_by_the_new_keys, "a command signed by a key the endpoint had never seen")


def test_everything_sealed_again_under_a_new_key_while_the_server_runs(server, tmp_path):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    before = (server.data / "kek.json").read_bytes()
    for verb in (("keys", "rewrap"), ("keys", "rotate", "token"), ("keys", "rewrap")):
        done = processes.run("keyfast.cli.main", *verb, "--data", str(server.data))
        assert done.returncode == 0, done.stderr
    assert (server.data / "kek.json").read_bytes() != before
    assert agent.check_in(), agent.output
    server.kill()
    server.start()
    assert agent.check_in(), agent.output


def test_a_full_package_strands_nobody_who_gets_a_newer_one(server, tmp_path):
    full = read_bundle(server.package(max_uses=1).path)
    first = RealAgent(tmp_path / "first").install(full)
    assert first.check_in(), first.output
    second = RealAgent(tmp_path / "second").install(full)
    assert not second.check_in()
    assert second.status()["last_refusal"] == "enrolment_exhausted"
    second.install(read_bundle(server.package().path))
    assert second.check_in(), second.output


def test_a_wrong_clock_survives_a_new_receipt_key(server, tmp_path):
    agent = RealAgent(tmp_path / "agent", another_time("@1980-01-02 00:00:00"))
    agent.install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    done = processes.run("keyfast.cli.main", "keys", "rotate", "receipt", "--data", str(server.data))
    assert done.returncode == 0, done.stderr

    def checks_in_under_the_new_key():
        signer = httpx2.get(f"{server.url}/endpoint/v1/time", params={"challenge": "x"}, verify=server.tls())
        return label(signer.json()["statement"]).kid == newest_receipt_key(server) and agent.check_in()

    processes.until(checks_in_under_the_new_key, "a check-in by time that the new key signed")


def newest_receipt_key(server):
    keys = server.admin.get("/admin/v1/keys", list[KeyLine])
    return next(key.kid for key in keys if key.role == "receipt" and key.status == "current")


def test_an_old_export_brings_back_private_halves_and_nothing_else(server, tmp_path):
    agent = RealAgent(tmp_path / "agent").install(read_bundle(server.package().path))
    assert agent.check_in(), agent.output
    export = tmp_path / "export"
    passphrase = "correct horse battery"

    def keys(*arguments, stdin=""):
        return processes.run("keyfast.cli.main", "keys", *arguments, "--data", str(server.data), stdin=stdin)

    assert keys("export", "--out", str(export), stdin=passphrase).returncode == 0
    assert passphrase not in export.read_text()
    assert keys("remove-root").returncode == 0
    refused = keys("rotate", "token")
    assert refused.returncode == 1
    assert "keys import" in refused.stderr
    assert keys("import", str(export), stdin="another passphrase").returncode == 1
    assert keys("import", str(export), stdin=passphrase).returncode == 0
    for role in ("token", "command"):
        assert keys("rotate", role).returncode == 0
    before = server.admin.get("/admin/v1/keys", list[KeyLine])
    assert keys("import", str(export), stdin=passphrase).returncode == 0
    assert server.admin.get("/admin/v1/keys", list[KeyLine]) == before
    server.kill()
    server.start()
    assert agent.check_in(), agent.output
