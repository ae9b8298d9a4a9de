"""What each command of the agent does: the rim, where the parts are put together."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path

import msgspec

from keyfast.agent import file_database, service
from keyfast.agent.client_database import Admission
from keyfast.agent.clock import Clock
from keyfast.agent.decide import Wait
from keyfast.agent.file_database import FileDatabase
from keyfast.agent.install import Seeded, check_same_installation, seed
from keyfast.agent.link import Link
from keyfast.agent.local import local_machine, system_clock
from keyfast.agent.loop import Agent
from keyfast.agent.package import read_bundle
from keyfast.agent.restart import begin_anew
from keyfast.agent.status import Status, five_lines, status_of
from keyfast.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOT_FINISHED, ClientDatabaseError, UsageError
from keyfast.wire.messages import Bundle

MAX_STEPS = 32
PATIENCE = 60.0
"""Seconds to wait for a running agent to check in on our behalf."""
_log = logging.getLogger(__name__)


def install(options: argparse.Namespace) -> int:
    """Seed the client database from a package; with ``--service``, install the service too."""
    done = _seed(options.state_dir, read_bundle(options.bundle))
    said = {
        Seeded.NEW: "installed",
        Seeded.RENEWED: "this endpoint is not enrolled yet; it will use the new package's enrolment token",
        Seeded.KEPT: "this endpoint was installed before; its client database is left as it is",
    }
    _print(said[done])
    if options.service:
        if not service.systemd_runs():
            raise UsageError("systemd does not run here", repair="keyfast-agent run")
        service.install_service(_program(), options.state_dir.resolve())
        _print(f"service {service.NAME} is enabled and started")
    return EXIT_DONE


def _seed(directory: Path, bundle: Bundle) -> Seeded:
    try:
        database = FileDatabase(directory)
    except ClientDatabaseError:
        held = file_database.read_record(directory) if file_database.is_held(directory) else None
        if held is None or held.admission is not Admission.REGISTERED:
            raise
        # A package upgrade while the agent runs: there is nothing to write, only to check.
        check_same_installation(held, bundle)
        return Seeded.KEPT
    with contextlib.closing(database):
        return seed(database, bundle)


def run(options: argparse.Namespace) -> int:
    """Keep checking in until SIGTERM or SIGINT; SIGUSR1 means now."""
    return keep_running(options.state_dir, system_clock())


def keep_running(directory: Path, clock: Clock) -> int:
    """Keep checking in until told to stop; begin anew as another process when the agent wants to."""
    # Whoever finds the database held may send it before the loop below listens; it must not end this process.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with contextlib.closing(FileDatabase(directory)) as database:
        again = asyncio.run(_run(_agent(database, clock)))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if not again:
        return EXIT_DONE
    _log.info("restarting, to verify that this endpoint comes up with the access it uses now")
    return begin_anew()


async def _run(agent: Agent) -> bool:
    """Run an agent; tell whether it is to be started again."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, hurry.set)
    running, stopped = asyncio.ensure_future(agent.run(stop, hurry)), asyncio.ensure_future(stop.wait())
    await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
    # Being cut off in the middle is what the agent is built for, so a stop need not wait for a server.
    for task in (running, stopped):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await running and not stop.is_set()
    return False


def check_in(options: argparse.Namespace) -> int:
    """Check in now, or have the running agent do it, and print the outcome."""
    try:
        database = FileDatabase(options.state_dir)
    except ClientDatabaseError:
        pid = file_database.holder(options.state_dir)
        if not pid or not file_database.is_held(options.state_dir):
            raise
        return _ask_running(options.state_dir, pid)
    with contextlib.closing(database):
        agent = _agent(database, system_clock())
        asyncio.run(_once(agent))
        return _outcome(status_of(agent.record, system_clock().now()))


async def _once(agent: Agent) -> None:
    agent.make_due()
    for _ in range(MAX_STEPS):
        if isinstance(await agent.step(), Wait):
            break
    await agent.rest()


def _ask_running(directory: Path, pid: int) -> int:
    before = file_database.read_record(directory)
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.1)
        after = file_database.read_record(directory)
        if before and after and after.due and after.due != before.due:
            return _outcome(status_of(after, system_clock().now()))
    _print(f"the running agent (process {pid}) has not finished its check-in yet")
    return EXIT_NOT_FINISHED


def _outcome(status: Status) -> int:
    if status.well:
        _print(f"checked in as endpoint {status.endpoint}; next in {status.next_check_in_s} s")
        return EXIT_DONE
    _print(f"not checked in: {status.reason}; to do: {status.repair}")
    return EXIT_NOT_FINISHED


def status(options: argparse.Namespace) -> int:
    """Print the status; works while the agent runs."""
    record = file_database.read_record(options.state_dir)
    if record is None:
        _print(
            '{"well":false}'
            if options.json
            else "Endpoint   not installed; to do: keyfast-agent install --bundle FOLDER"
        )
        return EXIT_FAILED
    facts = status_of(record, system_clock().now())
    _print(msgspec.json.encode(facts).decode() if options.json else five_lines(facts))
    return EXIT_DONE if facts.well else EXIT_NOT_FINISHED


def uninstall(options: argparse.Namespace) -> int:
    """Remove the service, and the client database unless it is to be kept."""
    if service.systemd_runs():
        service.remove_service()
    if options.keep_state or not options.state_dir.exists():
        _print("uninstalled")
        return EXIT_DONE
    with contextlib.closing(FileDatabase(options.state_dir)):
        # Only what this agent wrote: a mistyped folder must not cost more than that.
        for path in file_database.files(options.state_dir):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        options.state_dir.rmdir()
    _print("uninstalled; this endpoint's identity is removed")
    return EXIT_DONE


def _agent(database: FileDatabase, clock: Clock) -> Agent:
    return Agent(database, Link(clock, _new_id), local_machine(clock), clock, secrets.SystemRandom().random, _new_id)


def _new_id() -> str:
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def _program() -> Path:
    beside = Path(sys.executable).parent / "keyfast-agent"
    found = str(beside) if beside.exists() else shutil.which("keyfast-agent")
    if not found:
        raise UsageError("the program keyfast-agent is not on PATH")
    return Path(found)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
