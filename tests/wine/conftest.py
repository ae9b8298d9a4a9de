"""What the Wine tests share: builders of two versions whose bases outlive a run, and Windows of a test's own."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.packages import KEPT
from tests.support.require import require
from tests.support.server import RunningServer
from tests.support.wine import Wine

from keyfast import __version__
from keyfast.errors import KeyfastError
from keyfast.installers.msi import tools
from keyfast.installers.msi.installer import MsiInstaller
from keyfast.installers.msi.interpreter import from_wheels
from keyfast.installers.msi.signing import own_signer
from keyfast.installers.wheels import Wheels, local_folder

OLD, NEW = __version__, "99.0.0"


@pytest.fixture(scope="session")
def newer(tmp_path_factory) -> MsiInstaller:
    """Builds packages of a version that is newer than the server's."""
    require("wine", "wine")
    for tool in tools.TOOLS:
        require(tool.program, tool.package)
    signer = own_signer(tmp_path_factory.mktemp("keys") / "signing", "Keyfast of a test", dt.datetime.now(dt.UTC))
    local, fetched = local_folder(os.environ), KEPT / "wheels"
    interpreter = partial(from_wheels, fetched, local)
    made = MsiInstaller(KEPT / "msi", Wheels(fetched, local), signer, interpreter, "wheels", NEW)
    try:
        made.base(lambda what, share: None)
    except KeyfastError as fault:
        pytest.skip(f"missing {fault.message}")
    return made


@pytest.fixture
def start_wine(tmp_path) -> Iterator[Callable[[], Wine]]:
    """Start Windows in folders of this test; all are ended with it."""
    running: list[Wine] = []

    def start() -> Wine:
        running.append(Wine(tmp_path / f"wine{len(running)}"))
        return running[-1]

    yield start
    for wine in running:
        wine.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of this test, which finds its wheels fetched."""
    files = tmp_path / "server" / "packages"
    files.mkdir(mode=0o700, parents=True)
    (files / "wheels").symlink_to(KEPT / "wheels")
    running = RunningServer(tmp_path / "server")
    yield running
    running.close()
