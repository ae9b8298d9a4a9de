"""Servers of a test's own, on either database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.databases import KINDS
from tests.support.postgres import shared_cluster
from tests.support.server import RunningServer


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers in folders of this test; all are ended with it."""
    running: list[RunningServer] = []

    def start(kind: str = "sqlite") -> RunningServer:
        database = shared_cluster().create_database(migrated=False) if kind == "postgres" else ""
        running.append(RunningServer(tmp_path / f"server{len(running)}", database))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(params=KINDS)
def any_server(request: pytest.FixtureRequest, start_server: Callable[..., RunningServer]) -> RunningServer:
    """A server on SQLite and one on PostgreSQL, in turn."""
    return start_server(request.param)
