"""Real packages: libraries fetched once into a folder of the tree, bases built once, stamps as a server makes them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keyfast.core.package import LINUX
from keyfast.errors import MissingToolError, NotReadyError
from keyfast.installers.stamp import Stamp
from keyfast.installers.wheels import LINUX_AARCH64, LINUX_X86_64, MACOS_ARM64, PYTHONS, Wheels, local_folder
from keyfast.wire.bundle import Bundle

KEPT = Path(__file__).resolve().parents[2] / ".packages"
"""Outlives a test run; what is in it is named by what it was made from."""

AT = 1_790_000_000


def fetched_wheels() -> Wheels:
    """Everything that Linux and macOS packages are built from; where it cannot be had, a skip that CI forbids."""
    wheels = Wheels(KEPT / "wheels", local_folder(os.environ))
    try:
        for target in (LINUX_X86_64, LINUX_AARCH64, MACOS_ARM64):
            for python in PYTHONS:
                wheels.tree(target, python)
    except (NotReadyError, MissingToolError) as fault:
        pytest.skip(f"missing wheels: {fault}")
    return wheels


def bundle(number: int = 1) -> Bundle:
    """A bundle that no server made; its statement is its secret."""
    return Bundle(
        installation="11111111-1111-4111-8111-111111111111",
        root="{}",
        delegations=("delegation",),
        profile="profile",
        statement=f"secret-{number:08d}",
        package=f"22222222-2222-4222-8222-{number:012d}",
    )


def stamp(content: Bundle, at: int = AT, number: int = 1) -> Stamp:
    """What makes a package of it."""
    return Stamp(
        bundle=content,
        built_at=at,
        server_url="https://localhost:8443",
        mode="oauth",
        product_code=f"33333333-3333-4333-8333-{number:012d}",
        package_code=f"44444444-4444-4444-8444-{number:012d}",
    )


def told(what: str, share: float) -> None:
    """Progress that nobody watches; it stays between nothing and all."""
    assert what
    assert 0 <= share <= 1


def pythons() -> list[Path]:
    """Every Python on this machine that the agent runs on: the running one, and those that pyenv keeps."""
    found = {Path(sys.executable).resolve()}
    for version in PYTHONS:
        found |= {path.resolve() for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")}
        if path := shutil.which(f"python{version}", path="/usr/bin"):
            found.add(Path(path).resolve())
    return sorted(found)


class InstalledAgent:
    """The agent of a package that was installed below ``root``; nothing but the root tells it where its code is."""

    def __init__(self, root: Path, state: Path, python: Path | None = None) -> None:
        self.state = state
        self.package = root / LINUX.package.lstrip("/")
        home = root / "usr/lib/keyfast-agent"
        launcher = [str(root / "usr/bin/keyfast-agent")]
        self.command = [str(python), "-I", "-B", str(home / "start.py")] if python else launcher

    def do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, timeout=60, check=False, env=_bare()
        )

    def status(self) -> dict[str, Any]:
        """Its own view; empty before it has one."""
        said = self.do("status", "--json", "--state-dir", str(self.state)).stdout
        return json.loads(said) if said else {}

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start what the unit starts."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [*self.command, "run", "--state-dir", str(self.state), "--package-dir", str(self.package)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=_bare(),
            )


def _bare() -> dict[str, str]:
    """What a service manager gives: no PYTHONPATH, nothing of ours."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(command: Sequence[str], *, fails: bool = False, **env: str) -> str:
    """Run a tool to its end and return what it said on both streams."""
    done = subprocess.run(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "LC_ALL": "C", **env},
    )
    assert (done.returncode != 0) == fails, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout
