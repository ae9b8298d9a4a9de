"""A real PostgreSQL for tests: durable, private, on a unix socket and a free loopback port.

One cluster per test process, started when first needed; a fresh database costs a copy of a template.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg
import psutil
from tests.support.require import require
from tests.support.shared import UNTIL_THE_SESSION_ENDS

from keyfast.store.schema import upgrade

START_SECONDS = 30
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
fsync = on
synchronous_commit = on
shared_buffers = {buffers}
max_connections = 60
max_wal_size = 4GB
log_min_messages = fatal
autovacuum_naptime = 10min
"""


def _binary(name: str) -> str:
    """Debian keeps the server's programs off the PATH, one folder per major version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(versions[-1]) if versions else require(name, "postgresql")


class Cluster:
    """A PostgreSQL server of our own. PostgreSQL refuses to run as root, so root runs it as user postgres."""

    def __init__(self, *, shared_buffers: str = "64MB") -> None:
        self._postgres, initdb = _binary("postgres"), _binary("initdb")
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="kf-pg-"))
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self.port = _free_port()
        command = [initdb, "-D", str(self._data), "-U", "keyfast", "--auth=trust", "--no-sync", "-E", "UTF8"]
        self._run([*command, "--locale=C.UTF-8"])
        settings = _SETTINGS.format(port=self.port, sockets=self._folder, buffers=shared_buffers)
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write(settings)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start, or start again after ``kill``, and wait until it serves."""
        log = (self._folder / "log").open("ab")
        with log:
            self._server = subprocess.Popen(
                [self._postgres, "-D", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **self._user,
            )
        give_up = time.monotonic() + START_SECONDS
        while not asyncio.run(_serves(self.url("postgres"))):
            if self._server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server and all its processes as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop in order."""
        self._end(signal.SIGINT)

    def remove(self) -> None:
        """Stop at once and delete everything."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str, *, tcp: bool = False) -> str:
        """Return the URL of a database, over the unix socket or loopback."""
        if tcp:
            return f"postgresql://keyfast@127.0.0.1:{self.port}/{database}"
        return f"postgresql://keyfast@/{database}?host={self._folder}&port={self.port}"

    def create_database(self, *, migrated: bool = True) -> str:
        """Return the URL of a new database. Not to be called on a running loop."""
        name = f"kf{next(self._numbers)}"
        template = self._template() if migrated else "template1"
        asyncio.run(_execute(self.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self.url(name)

    @functools.cache  # noqa: B019 - clusters live as long as the process
    def _template(self) -> str:
        asyncio.run(_execute(self.url("postgres"), "CREATE DATABASE kf_template"))
        upgrade(self.url("kf_template"))
        return "kf_template"

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        if how is signal.SIGKILL:
            _kill_with_children(self._server.pid)
        else:
            self._server.send_signal(how)
        self._server.wait(START_SECONDS)
        self._server = None

    def _run(self, command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._user)


def _kill_with_children(pid: int) -> None:
    """Kill a PostgreSQL server and wait until no process of it is left.

    Each of its processes is in a session of its own, and one whose server is gone goes on serving until it notices.
    """
    server = psutil.Process(pid)
    server.suspend()  # it starts no other one meanwhile
    children = server.children(recursive=True)
    for process in (*children, server):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(children, START_SECONDS)
    assert not left, left


@functools.cache
def shared_cluster() -> Cluster:
    """Return the running cluster of this process; it is removed when the session ends."""
    cluster = Cluster()
    UNTIL_THE_SESSION_ENDS.callback(cluster.remove)
    cluster.start()
    return cluster


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _serves(url: str) -> bool:
    try:
        conn = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await conn.close()
    return True


async def _execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url, timeout=START_SECONDS)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()
