"""A real server: its own data directory, its own processes, TLS on a free port of 127.0.0.1."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
from tests.support import processes

from keyfast import settings as settings_room
from keyfast.cli.client import AdminClient
from keyfast.errors import KeyfastError
from keyfast.server import run
from keyfast.settings import Settings
from keyfast.wire.admin import EndpointDetail, EndpointLine, Installation, PackageLine, PackageOrder


def found(settings: Settings) -> None:
    """``keyfast server init``, in this process: it saves a start of Python for each of many servers."""
    before = os.umask(0o077)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings_room.write(settings)
        made = run.prepare(settings_room.load(settings.data), found=True, name="tests", now=int(time.time()))
        with ThreadPoolExecutor(1) as beside:  # a loop may be running here
            beside.submit(asyncio.run, made).result()
    finally:
        os.umask(before)


class RunningServer:
    """A server under test; ``close`` ends it.

    Args:
        data: its directory.
        database: URL, empty for SQLite.
        tables: what to add to its ``server.toml``.
        env: of its processes, beside ours.
    """

    def __init__(self, data: Path, database: str = "", *, tables: str = "", **env: str) -> None:
        self.env = env
        self.port = processes.free_port()
        self.url = f"https://localhost:{self.port}"
        self.data = data
        found(Settings(data, "127.0.0.1", self.port, (self.url,), database))
        with (data / settings_room.FILE_NAME).open("a") as file:
            file.write(tables)
        self.settings: Settings = settings_room.load(data)
        self.log = data / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.admin = AdminClient(self.settings.admin_socket)
        self.start()

    def start(self) -> None:
        """Start it, and wait until both services answer."""
        command = ("keyfast.cli.main", "server", "run", "--data", str(self.data))
        self.process = processes.start(*command, log=self.log, **self.env)
        try:
            processes.until(self._answers, f"the server to answer; log:\n{self.log.read_text()}")
        except BaseException:
            self.close()  # nobody has it yet who could
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.admin.get("/admin/v1/installation", Installation)
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                pass
            with self.client() as http:
                return http.get("/.well-known/oauth-authorization-server").status_code == 200
        except (KeyfastError, httpx2.HTTPError, OSError):
            return False

    def tls(self) -> ssl.SSLContext:
        """A context that trusts this server's authority only."""
        return ssl.create_default_context(cafile=str(self.settings.tls / "ca.pem"))

    def client(self) -> httpx2.Client:
        """A client of the endpoint API."""
        return httpx2.Client(base_url=self.url, verify=self.tls(), timeout=20, trust_env=False)

    def child(self, name: str) -> psutil.Process:
        """The process of a service, ``check-in`` or ``admin``."""
        assert self.process is not None

        def find() -> psutil.Process | None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                line = processes.command_line(child)
                if "keyfast.server.process" in line and name in line and "keyfast.server.child" not in line:
                    return child
            return None

        return processes.until(find, f"process {name}")

    def package(self, **order: object) -> PackageLine:
        """Build a package."""
        return self.admin.post("/admin/v1/packages", PackageLine, PackageOrder(**order))  # type: ignore[arg-type]

    def endpoint(self, endpoint_id: str) -> EndpointDetail:
        """An endpoint's record."""
        return self.admin.get(f"/admin/v1/endpoints/{endpoint_id}", EndpointDetail)

    def endpoints(self, **query: str | int) -> list[EndpointLine]:
        """A page of endpoints."""
        return self.admin.get("/admin/v1/endpoints", list[EndpointLine], query)

    def kill(self) -> None:
        """kill -9 of everything at once, as a power cut does to processes."""
        assert self.process is not None
        victims = [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):  # children go with their parent
                os.kill(victim.pid, signal.SIGKILL)
        psutil.wait_procs(victims, timeout=15)
        self.process.wait(15)

    def close(self) -> None:
        """End it in good order."""
        if self.process is not None:
            processes.stop(self.process)
