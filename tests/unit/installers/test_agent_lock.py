"""The agent's lock is a part of the server's, and each platform gets its part of it."""

import re
from pathlib import Path

import pytest

from keyfast.installers.lock import LOCK, requirements
from keyfast.installers.wheels import LINUX_X86_64, MACOS_ARM64, PYTHONS, WINDOWS_X86_64

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = """\
# a comment
everywhere==1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
windows-only==2 ; sys_platform == 'win32' \\
    --hash=sha256:cc
old-python==3 ; python_full_version < '3.13' \\
    --hash=sha256:dd
"""


def blocks(text: str) -> dict[str, set[str]]:
    found = re.split(r"\n(?=\S)", text)
    return {
        block.split(" ", 1)[0]: set(re.findall(r"sha256:\w+", block)) for block in found if not block.startswith("#")
    }


def test_the_agents_lock_has_the_versions_and_hashes_of_the_servers():
    agent, server = blocks(LOCK.read_text()), blocks((ROOT / "requirements.lock").read_text())
    assert agent.items() <= server.items()
    assert {name.split("==")[0] for name in agent} >= {"cryptography", "httpx2", "joserfc", "msgspec", "pyspnego"}
    assert not {name for name in agent if name.startswith(("sqlalchemy", "granian", "starlette", "typer"))}


@pytest.mark.parametrize(
    ("target", "python", "names"),
    [
        (LINUX_X86_64, "3.11", {"everywhere==1", "old-python==3"}),
        (MACOS_ARM64, "3.14", {"everywhere==1"}),
        (WINDOWS_X86_64, "3.12", {"everywhere==1", "windows-only==2", "old-python==3"}),
    ],
)
def test_a_platform_gets_its_part_without_markers(target, python, names):
    part = requirements(SAMPLE, target.markers, python)
    assert set(blocks(part)) == names
    assert ";" not in part


@pytest.mark.parametrize("python", PYTHONS)
def test_windows_gets_its_security_support_and_nobody_else_does(python):
    assert "sspilib==" in requirements(LOCK.read_text(), WINDOWS_X86_64.markers, python)
    assert "sspilib==" not in requirements(LOCK.read_text(), LINUX_X86_64.markers, python)
