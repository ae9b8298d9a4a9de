"""The collectors that look at the machine alone: service, disk, proxies."""

import json
import os

import msgspec
import pytest
from tests.support import processes
from tests.support.agent import MODULE
from tests.support.fake_platform import FakePlatform
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
