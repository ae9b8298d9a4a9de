"""Start and stop the programs under measurement: on their core, on free ports, by process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine

START_SECONDS = 60.0
STOP_SECONDS = 15.0


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    end: int = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run a command on the server's core until the block ends; yields its process id once it is ready."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*machine.pinned(machine.SERVER_CORE), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | dict(environment or {}),
        )
    try:
        machine.prefer(process.pid)
        _wait(process, ready, log)
        yield process.pid
    finally:
        stop(process, end)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], number: int) -> None:
    """End a process and wait for it; one that does not end in time is killed."""
    with suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether somebody accepts connections on this port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type application/json; keepalive_requests 100000000; keepalive_timeout 300;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_protocols TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};
  server {{ listen 127.0.0.1:{port} ssl backlog=4096; location / {{ return 200 '{answer}'; }} }}
}}
"""
STATIC_ANSWER = '{"static":"' + "x" * (300 - 13) + '"}'
"""300 bytes: about what a check-in is answered with."""


@contextmanager
def nginx(folder: Path, certificate: Path, key: Path) -> Iterator[tuple[int, int]]:
    """Run nginx with a static answer to any request, under the given certificate; yields (pid, port)."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, certificate=certificate, key=key, port=port, answer=STATIC_ANSWER))
    command = [_tool("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with running(command, folder / "nginx.log", lambda: answers(port)) as pid:
        yield pid, port


@contextmanager
def postgres() -> Iterator[tuple[int, str]]:
    """Run a PostgreSQL of our own, with fsync and synchronous_commit on as by default; yields (pid, URL)."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    with TemporaryDirectory(prefix="kf-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data, port = folder / "data", free_port()
        initdb = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "keyfast", "-E", "UTF8"]
        subprocess.run(_unprivileged([*initdb, "--locale=C"]), check=True, stdout=subprocess.DEVNULL, cwd=folder)
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        command += [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "shared_buffers=512MB",
            "-c",
            "max_wal_size=4GB",
        ]
        asking = [str(programs / "pg_isready"), "-q", "-h", str(folder), "-p", str(port)]

        def ready() -> bool:
            return subprocess.run(asking, check=False).returncode == 0

        with running(_unprivileged(command), folder / "postgres.log", ready, signal.SIGINT) as pid:
            yield pid, f"postgresql://keyfast@127.0.0.1:{port}/postgres"


def _unprivileged(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


@contextmanager
def keyfast(data: Path, port: int, python: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run ``keyfast server run`` on a data directory whose settings name ``port``; yields its pid.

    What is in ``environment`` is added to ours.
    """
    command = [
        python,
        "-c",
        "from keyfast.cli.main import main; main()",
        "server",
        "run",
        "--data",
        str(data),
    ]
    with running(command, data / "server.log", lambda: answers(port), environment=environment) as pid:
        yield pid


def _tool(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed; scripts/install-bench-tools tells what is missing")
    return found
