"""The real runner, with real processes; and volumes that fit the wire."""

import sys
import time

import pytest
from tests.support.runner import FakeRunner

from keyfast.disks import factory
from keyfast.disks.linux import LinuxDisks
from keyfast.disks.macos import MacDisks
from keyfast.disks.runner import FLOODED, MISSING, REFUSED, TIMED_OUT, Result, SystemRunner, why
from keyfast.disks.windows import WindowsDisks
from keyfast.wire.messages import Encryption

PYTHON = (sys.executable, "-c")


def test_output_and_code():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    result = SystemRunner().run((*PYTHON, code))
    assert (result.code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")


def test_the_child_gets_the_c_locale_nothing_to_read_and_no_secrets(monkeypatch):
    monkeypatch.setenv("KEYFAST_SECRET", "x")
    code = "import os, sys; print(sorted(os.environ.items()), sys.stdin.read())"
    said = SystemRunner().run((*PYTHON, code)).stdout
    assert b"('LC_ALL', 'C')" in said
    assert b"KEYFAST_SECRET" not in said


def test_a_missing_tool():
    assert SystemRunner().run(("keyfast-no-such-tool",)).code == MISSING


def test_a_file_that_is_no_program(tmp_path):
    (tmp_path / "tool").write_text("")
    assert SystemRunner().run((str(tmp_path / "tool"),)).code == REFUSED


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import os, time; os.close(1); os.close(2); time.sleep(60)",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
    ],
)
def test_a_tool_that_hangs_or_leaves_a_child_with_its_pipes(code):
    started = time.monotonic()
    assert SystemRunner().run((*PYTHON, code), timeout=0.5).code == TIMED_OUT
    assert time.monotonic() - started < 20


def test_a_tool_that_never_stops_talking():
    result = SystemRunner(max_output=1000).run((*PYTHON, "while True: print('x' * 1000)"))
    assert (result.code, result.stdout) == (FLOODED, b"")


def test_output_up_to_the_limit_is_whole():
    assert len(SystemRunner(max_output=1000).run((*PYTHON, "print('x' * 999)")).stdout) == 1000


@pytest.mark.parametrize("code", [TIMED_OUT, FLOODED, REFUSED, MISSING, 0, 7])
def test_a_reason_never_quotes_the_tool(code):
    assert "secret" not in why("tool", Result(code, b"secret", b"secret"))


@pytest.mark.parametrize(("platform", "kind"), [("linux", LinuxDisks), ("win32", WindowsDisks), ("darwin", MacDisks)])
def test_every_system_has_its_disks(platform, kind):
    disks = factory.for_this_machine(FakeRunner({}), platform)
    assert isinstance(disks, kind)
    (volume,) = disks.volumes()
    assert (volume.role, volume.encryption) == ("os", Encryption.UNKNOWN)
    assert "is not installed" in volume.detail


def test_a_system_nobody_knows():
    (volume,) = factory.for_this_machine(FakeRunner({}), "plan9").volumes()
    assert (volume.role, volume.encryption) == ("os", Encryption.UNKNOWN)
    assert "plan9" in volume.detail
