"""Packages from real libraries, and root folders that real package managers install them into."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import packages, processes
from tests.support.device import read_bundle
from tests.support.server import RunningServer

from keyfast.core.package import BUNDLE_FILE
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


class Service:
    """Runs what was installed, as its unit does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, root: Path) -> packages.InstalledAgent:
        """Start it (again), and wait until it is well."""
        self.stop()
        agent = packages.InstalledAgent(root, self._folder / "state")
        log = self._folder / "agent.log"
        self._running.append(agent.start(log))
        # One that was well before says so before it has looked at what lies there.
        taken = agent.package / BUNDLE_FILE
        processes.until(lambda: not taken.exists() and agent.status().get("well", False), f"a check-in; see {log}")
        return agent

    def stop(self) -> None:
        """Stop it, if it runs."""
        while self._running:
            processes.stop(self._running.pop())


@pytest.fixture
def checked_in(tmp_path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.stop()


@pytest.fixture
def real_stamp(server: RunningServer):
    """A stamp with a bundle of the real server."""

    def make(at: int = packages.AT):
        return packages.stamp(read_bundle(server.package().path), at)

    return make
