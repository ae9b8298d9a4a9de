"""Packages from real libraries, and root folders that real package managers install them into."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import packages, processes
from tests.support.device import read_bundle
from tests.support.server import RunningServer

from keyfast.installers.deb import DebInstaller
from keyfast.installers.macos_pkg import MacosInstaller
from keyfast.installers.rpm import RpmInstaller
from keyfast.installers.wheels import Wheels


@pytest.fixture(scope="session")
def wheels() -> Wheels:
    return packages.fetched_wheels()


@pytest.fixture(scope="session")
def deb(wheels) -> DebInstaller:
    return DebInstaller(wheels, packages.KEPT / "bases")


@pytest.fixture(scope="session")
def rpm(wheels, tmp_path_factory) -> RpmInstaller:
    installer = RpmInstaller(wheels, tmp_path_factory.mktemp("rpm"), tmp_path_factory.mktemp("keys") / "rpm.asc")
    if installer.missing():
        pytest.skip("missing gpg: install gnupg")
    return installer


@pytest.fixture(scope="session")
def pkg(wheels) -> MacosInstaller:
    return MacosInstaller(wheels, packages.KEPT / "bases")


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder that stands for a computer's file system."""
    if os.geteuid() != 0:
        pytest.skip("only root may give files to root")
    folder = tmp_path / "root"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def checked_in(server: RunningServer, tmp_path) -> Iterator[object]:
    """Seed what was installed from where its package lies, run it, and wait until the server has heard from it."""
    running = []

    def check(root: Path) -> str:
        agent = packages.InstalledAgent(root, tmp_path / "state")
        folder = str(root / "etc/keyfast-agent/package")
        done = agent.do("install", "--state-dir", str(agent.state), "--bundle", folder)
        assert done.returncode == 0, done.stderr
        log = tmp_path / "agent.log"
        running.append(agent.start(log))

        def heard() -> str | None:
            said = agent.do("status", "--json", "--state-dir", str(agent.state)).stdout
            return said if '"well":true' in said else None

        return processes.until(heard, f"a check-in; see {log}")

    yield check
    for process in running:
        processes.stop(process)


@pytest.fixture
def real_stamp(server: RunningServer):
    """A stamp with a bundle of the real server."""

    def make(at: int = packages.AT):
        return packages.stamp(read_bundle(server.package().path), at)

    return make
