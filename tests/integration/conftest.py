"""One real server and one real domain for the tests of a worker; each test brings its own device and account."""

from collections.abc import Iterator

import httpx2
import pytest
from tests.support.device import Device, read_bundle
from tests.support.domain import account, ad, kerberos, make_account  # noqa: F401 - fixtures
from tests.support.server import RunningServer

from keyfast.wire.bundle import Bundle


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def bundle(server: RunningServer) -> Bundle:
    return read_bundle(server.package(max_uses=10_000).path)


@pytest.fixture(scope="session")
def http(server: RunningServer) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def device(server: RunningServer, http: httpx2.Client, bundle: Bundle) -> Device:
    """An enrolled endpoint that has not checked in yet."""
    return Device(http, server.url).enrol(bundle)


@pytest.fixture
def stranger(server: RunningServer, http: httpx2.Client) -> Device:
    """An endpoint that nobody enrolled."""
    return Device(http, server.url)
