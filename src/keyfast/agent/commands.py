"""What each command of the agent does: the rim, where the parts are put together."""

import argparse
import asyncio
import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from keyfast.agent import package, service
from keyfast.agent.decide import Wait
from keyfast.agent.install import Seeded, seed, take
from keyfast.agent.local import system_clock
from keyfast.agent.lock import holder, is_held
from keyfast.agent.loop import Agent
from keyfast.agent.package import Verdict, read_bundle, refusal_of
from keyfast.agent.platform import LocalDatabase, here
from keyfast.agent.running import agent_over, keep_running
from keyfast.agent.status import Status, five_lines, status_of
from keyfast.core.package import BUNDLE_FILE
from keyfast.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_NOT_FINISHED,
    ClientDatabaseError,
    KeyfastError,
    TrustError,
    UsageError,
)

MAX_STEPS = 32
PATIENCE = 60.0
"""Seconds to wait for a running agent to check in on our behalf."""
FAREWELL_PATIENCE = 30.0
"""Seconds to try to tell the server that this agent is removed."""

__all__ = ["check_in", "install", "keep_running", "run", "self_check", "status", "uninstall"]

_SAID = {
    Seeded.NEW: "installed",
    Seeded.RENEWED: "this endpoint takes what the newer package brings; its identity stays",
    Seeded.MIGRATED: "this endpoint leaves Windows mode with the newer package; its identity and history stay",
    Seeded.KEPT: "this endpoint was installed before; its client database is left as it is",
}


def install(options: argparse.Namespace) -> int:
    """Seed the client database from a package; with ``--service``, install the service too."""
    if options.service and not service.systemd_runs():
        raise UsageError("systemd does not run here", repair="keyfast-agent run")
    _print(_SAID[_installed(options)])
    if options.service:
        service.install_service(_program(), options.state_dir.resolve())
        _print(f"service {service.NAME} is enabled and started")
    return EXIT_DONE


def _installed(options: argparse.Namespace) -> Seeded:
    place = options.bundle or options.package_dir / BUNDLE_FILE
    try:
        database = here().open_database(options.state_dir)
    except ClientDatabaseError:
        held = here().read(options.state_dir)[0] if is_held(options.state_dir) else None
        # While the agent runs, a package may be looked at; only one that changes nothing needs no more.
        if held is None or take(held, read_bundle(place)).done is not Seeded.KEPT:
            raise
        return Seeded.KEPT
    with contextlib.closing(database):
        if options.bundle:
            return seed(database, read_bundle(options.bundle))
        verdict = package.take_left(database, database.load(), options.package_dir)
    if verdict is None or verdict.done is None:
        fault = verdict or Verdict(detail=f"there is no package in {options.package_dir}")
        raise TrustError(refusal_of(fault) if verdict else fault.detail, repair=fault.repair)
    return verdict.done


def run(options: argparse.Namespace) -> int:
    """Keep checking in until told to stop."""
    return keep_running(options.state_dir, system_clock(), options.package_dir, until_eof=options.until_eof)


def check_in(options: argparse.Namespace) -> int:
    """Check in now, or have the running agent do it, and print the outcome."""
    try:
        database = here().open_database(options.state_dir)
    except ClientDatabaseError:
        pid = holder(options.state_dir)
        if not pid or not is_held(options.state_dir):
            raise
        return _ask_running(options.state_dir, pid)
    with contextlib.closing(database):
        agent = agent_over(database, system_clock(), here().server_url())
        asyncio.run(_once(agent))
        return _outcome(status_of(agent.record, system_clock().now()))


async def _once(agent: Agent) -> None:
    agent.make_due()
    for _ in range(MAX_STEPS):
        if isinstance(await agent.step(), Wait):
            break
    await agent.rest()


def _ask_running(directory: Path, pid: int) -> int:
    before, _ = here().read(directory)
    here().hurry(directory, pid)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.1)
        after, _ = here().read(directory)
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
    try:
        record, vault = here().read(options.state_dir)
    except ClientDatabaseError as cause:
        return _without_record(options, cause.message, cause.repair)
    verdict = package.judge(record, options.package_dir)[0] if package.lies(options.package_dir) else None
    if record is None:
        if verdict is not None and verdict.fault is not None:
            return _without_record(options, refusal_of(verdict), verdict.repair, package_fault=verdict.fault.value)
        return _without_record(options, "not installed", "keyfast-agent install --bundle FOLDER")
    facts = status_of(record, system_clock().now(), verdict, vault)
    _print(msgspec.json.encode(facts).decode() if options.json else five_lines(facts))
    return EXIT_DONE if facts.well else EXIT_NOT_FINISHED


def _without_record(options: argparse.Namespace, reason: str, repair: str, **more: Any) -> int:
    if options.json:
        _print(msgspec.json.encode({"well": False, "reason": reason, "repair": repair, **more}).decode())
    else:
        _print(f"Endpoint   {reason}; to do: {repair or 'see the log of the agent'}")
    return EXIT_FAILED


def self_check(options: argparse.Namespace) -> int:
    """Say whether this endpoint has reached its server, and if not, why."""
    from keyfast.agent.self_check import look, told  # noqa: PLC0415 - an agent that runs does not need it

    found = look(here(), options.state_dir, options.package_dir, options.wait, system_clock())
    _print(msgspec.json.encode(found).decode() if options.json else told(found))
    return EXIT_DONE if found.contact else EXIT_NOT_FINISHED


def uninstall(options: argparse.Namespace) -> int:
    """Remove the service, tell the server, and remove the client database unless it is to be kept."""
    if service.systemd_runs():
        service.remove_service()
    said = ["uninstalled"]
    if options.state_dir.exists():
        try:
            database = here().open_database(options.state_dir)
        except ClientDatabaseError as cause:
            if not options.keep_state:
                raise
            _print(f"uninstalled; the server could not be told: {cause.message}")
            return EXIT_DONE
        with contextlib.closing(database):
            said.append(_say_farewell(database))
            if not options.keep_state:
                database.forget()
                said.append("this endpoint's identity is removed")
    _print("; ".join(text for text in said if text))
    return EXIT_DONE


def _say_farewell(database: LocalDatabase) -> str:
    """Tell the server; whatever comes of it, the removal goes on. Return what to say of it."""
    try:
        if database.load() is None:
            return ""
        agent = agent_over(database, system_clock(), here().server_url())
        done = asyncio.run(_farewell(agent))
    except KeyfastError as cause:
        return f"the server could not be told: {cause.message}"
    if done:
        return "the server was told" if agent.record.endpoint_id else ""
    return f"the server could not be told: {agent.record.trouble or 'it did not answer in time'}"


async def _farewell(agent: Agent) -> bool:
    try:
        async with asyncio.timeout(FAREWELL_PATIENCE):
            return await agent.farewell()
    except TimeoutError:
        return False


def _program() -> Path:
    beside = Path(sys.executable).parent / "keyfast-agent"
    found = str(beside) if beside.exists() else shutil.which("keyfast-agent")
    if not found:
        raise UsageError("the program keyfast-agent is not on PATH")
    return Path(found)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
