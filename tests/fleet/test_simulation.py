"""Small fleets through every scenario: nobody is stranded. ``keyfast simulate`` does the same with large ones."""

import gc
import json
import subprocess
import sys

import pytest

from keyfast.simulation.endpoint import Faults
from keyfast.simulation.run import run
from keyfast.simulation.scenarios import SCENARIOS

ENDPOINTS, DAYS = 25, 60


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_nobody_is_stranded(name, tmp_path):
    found = run(name, tmp_path, count=ENDPOINTS, days=DAYS, seed=3, progress=lambda done: None)
    gc.collect()  # what was forgotten open is told here, and not in some later test
    assert (found.stranded, found.short_of) == ((), "")
    assert found.endpoints >= ENDPOINTS
    assert found.check_ins > ENDPOINTS * DAYS / 3, "the fleet lives"
    assert found.missed > 0, "the network fails now and then"


def test_what_is_done_is_told(tmp_path):
    shares: list[float] = []
    found = run("calm", tmp_path, count=3, days=2, seed=3, progress=shares.append)
    assert found.stranded == ()
    assert shares == sorted(shares)


def test_a_fleet_that_cannot_come_back_is_counted(tmp_path):
    """The figure can be other than 0: behind a network that loses everything nobody ever joins."""
    found = run("calm", tmp_path, count=3, days=2, seed=3, progress=lambda done: None, faults=Faults(lost=1.0))
    assert found.stranded == ("pc-00000", "pc-00001", "pc-00002")
    assert found.check_ins == 0


def test_the_command_prints_what_programs_read(tmp_path):
    command = [sys.executable, "-m", "keyfast.cli.main", "simulate", "calm", "--agents", "3", "--days", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [(row["scenario"], row["endpoints"], row["stranded"]) for row in json.loads(done.stdout)] == [
        ("calm", 3, [])
    ]


def test_an_unknown_scenario_is_named():
    command = [sys.executable, "-m", "keyfast.cli.main", "simulate", "flood"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "no scenario flood" in done.stderr


def test_a_scenario_without_the_time_it_takes_is_told(tmp_path):
    command = [sys.executable, "-m", "keyfast.cli.main", "simulate", "rotation", "--agents", "1", "--days", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert "no rotation has begun" in done.stderr
    assert "--days 60" in done.stderr
    assert "pc-" not in done.stdout, "nobody is stranded, and that is counted all the same"
