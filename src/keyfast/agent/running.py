"""Run: open the client database, take the package that lies there, and keep checking in until told to stop."""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from keyfast.agent import package
from keyfast.agent.client_database import ClientDatabase, Record
from keyfast.agent.clock import Clock
from keyfast.agent.link import Link
from keyfast.agent.local import local_machine
from keyfast.agent.loop import Agent
from keyfast.agent.package import Verdict
from keyfast.agent.platform import LocalDatabase, Platform, here
from keyfast.agent.restart import begin_anew
from keyfast.core import schedule
from keyfast.errors import EXIT_DONE, TrustError, VaultError

VAULT_TRIES = 3
"""Tries to open the client database before a package that lies there is taken as a new beginning."""
LONGEST_PAUSE = 300.0
_log = logging.getLogger(__name__)


def keep_running(directory: Path, clock: Clock, packages: Path | None = None, *, until_eof: bool = False) -> int:
    """Keep checking in until told to stop; begin anew as another process when the agent wants to.

    Args:
        directory: of the client database.
        clock: the endpoint's clocks.
        packages: where installers leave packages; None looks nowhere.
        until_eof: stop when standard input ends, too.

    Raises:
        ClientDatabaseError: there is nothing to run with.
        TrustError: there is nothing but a package that is not taken.
    """
    platform = here()
    # Whoever finds the database held may ask for a check-in before the loop below listens.
    platform.not_yet()
    with contextlib.closing(platform.open_database(directory)) as database:
        again = asyncio.run(_run(platform, database, directory, clock, packages, until_eof=until_eof))
        platform.not_yet()
    if not again:
        return EXIT_DONE
    _log.info("restarting, to verify that this endpoint comes up with the access it uses now")
    return begin_anew()


async def _run(
    platform: Platform,
    database: LocalDatabase,
    directory: Path,
    clock: Clock,
    packages: Path | None,
    *,
    until_eof: bool,
) -> bool:
    """Run an agent; tell whether it is to be started again."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    platform.listen(directory, stop, hurry)
    if until_eof:
        _follow_input(asyncio.get_running_loop(), stop)
    running = asyncio.ensure_future(_work(platform, database, clock, packages, stop, hurry))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
    # Being cut off in the middle is what the agent is built for, so a stop need not wait for a server.
    for task in (running, stopped):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await running and not stop.is_set()
    return False


async def _work(
    platform: Platform,
    database: LocalDatabase,
    clock: Clock,
    packages: Path | None,
    stop: asyncio.Event,
    hurry: asyncio.Event,
) -> bool:
    held = await opened(database, packages)
    verdict = package.take_left(database, held, packages) if packages else None
    _tell(verdict, held)
    return await agent_over(database, clock, platform.server_url(), verdict).run(stop, hurry)


async def opened(
    database: LocalDatabase, packages: Path | None, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Record | None:
    """Return the record, however long its vault takes to open.

    Nothing is deleted for a vault that does not open: a host key may come back. Where somebody has put a package
    there, and the vault still does not open, the endpoint begins anew with it, and what cannot be read is kept aside.
    """
    tries = 0
    while True:
        try:
            return database.load()
        except VaultError as cause:
            tries += 1
            _log.warning("%s%s", cause.message, cause.repair and f"; {cause.repair}")
        if tries >= VAULT_TRIES and packages is not None and package.may_begin_anew(packages):
            _log.warning("the client database that cannot be opened is set aside for the package that lies there")
            database.set_aside()
        else:
            await pause(schedule.backoff(tries, 0.0, cap=LONGEST_PAUSE))


def _tell(verdict: Verdict | None, held: Record | None) -> None:
    if verdict is None:
        return
    if verdict.fault is None:
        _log.info("package %s was taken: %s", verdict.package, verdict.done)
        return
    _log.warning("%s; %s", package.refusal_of(verdict), verdict.repair)
    if held is None:
        raise TrustError(package.refusal_of(verdict), repair=verdict.repair)


def agent_over(database: ClientDatabase, clock: Clock, extra_url: str = "", verdict: Verdict | None = None) -> Agent:
    """Return an agent of this machine."""
    refused = verdict.told if verdict else None
    link = Link(clock, _new_id)
    chance = secrets.SystemRandom().random
    return Agent(database, link, local_machine(clock), clock, chance, _new_id, refused, extra_url)


def _new_id() -> str:
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def _follow_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends. A thread, as Windows cannot wait for a pipe in the loop."""

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 256):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended first
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, name="input", daemon=True).start()
