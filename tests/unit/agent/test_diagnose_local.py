"""The collectors that look at the machine alone: service, disk, proxies."""

import json
import os
import subprocess
import sys

import msgspec
import pytest
from tests.support import processes
from tests.support.agent import MODULE, RealAgent
from tests.support.fake_platform import FakePlatform
from tests.support.fake_server import FakeServer
from tests.support.require import require

from keyfast.agent.diagnosis import local
from keyfast.agent.lock import TRIAL_NAME, lock


@pytest.mark.parametrize(
    ("how", "runs"),
    [("running", True), ("stopped", False), ("not installed", False), ("unknown", None), (OSError("x"), None)],
)
def test_the_service(tmp_path, how, runs):
    platform = FakePlatform(tmp_path)
    platform.how = how
    seen = local.service(platform, tmp_path)
    assert seen.runs is runs
    assert seen.detail


def test_the_service_is_not_asked_about_another_folder(tmp_path):
    (tmp_path / "other").mkdir()
    assert local.service(FakePlatform(tmp_path), tmp_path / "other").runs is None


def test_what_holds_the_client_database_runs_whoever_started_it(tmp_path):
    platform = FakePlatform(tmp_path)
    platform.how = "stopped"
    held = lock(tmp_path)
    try:
        assert local.service(platform, tmp_path).runs is True
    finally:
        os.close(held)


def test_the_disk(tmp_path):
    seen = local.disk(tmp_path)
    assert (seen.full, seen.fault) == (False, "")
    assert seen.free > 0
    assert not (tmp_path / TRIAL_NAME).exists()
    assert local.disk(tmp_path / "nowhere").full is None


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "aside").write_bytes(b"mine")
    (tmp_path / TRIAL_NAME).symlink_to("aside")
    assert local.disk(tmp_path).full is None
    assert (tmp_path / "aside").read_bytes() == b"mine"


def test_a_disk_without_room(tmp_path):
    prefix = (require("prlimit", "util-linux"), "--fsize=0")
    done = processes.run(MODULE, "diagnose", "--json", "--state-dir", str(tmp_path), prefix=prefix)
    (disk,) = [line for line in json.loads(done.stdout)["looked"] if line["what"] == "disk"]
    assert disk["how"] == "not ok"
    assert not (tmp_path / TRIAL_NAME).exists()


def test_proxies_are_shown_without_what_a_person_logs_on_with():
    seen = local.proxy(lambda: {"https": "http://jane:hunter2@proxy.example:3128", "no": "localhost", "http": "plain"})
    assert set(seen.names) == {"proxy.example:3128", "plain"}
    assert local.proxy(lambda: {"all": "socks5://[::1:bad"}).fault
    assert local.proxy(dict).names == ()


def test_facts_can_be_written_down():
    assert msgspec.json.encode(local.proxy(dict))


def test_the_command_that_is_given_for_a_damaged_database_carries_it_out(tmp_path):
    agent = RealAgent(tmp_path / "the state").install(FakeServer(("https://localhost:1",)).bundle())
    (agent.state / "client-database").write_bytes(os.urandom(3000))
    report = json.loads(agent.do("diagnose", "--json").stdout)
    command = report["findings"][0]["options"][1]["command"]
    assert report["findings"][0]["code"] == "client-database-damaged"
    bundle = agent.state.with_name(agent.state.name + ".bundle")
    program = tmp_path / "keyfast-agent"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {MODULE} "$@"\n')
    program.chmod(0o700)
    done = subprocess.run(
        ["sh", "-c", command.replace("FOLDER", f"'{bundle}'")],
        capture_output=True,
        text=True,
        check=False,
        env=processes.environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
    )
    assert (done.returncode, done.stdout) == (0, "installed\n"), done.stderr
    assert len((agent.state / "client-database.kept").read_bytes()) == 3000
    assert json.loads(agent.do("diagnose", "--json").stdout)["looked"][0]["how"] == "ok"
