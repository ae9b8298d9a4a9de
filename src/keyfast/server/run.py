"""``keyfast server run``: migrate, check that the installation opens, then supervise its processes."""

import asyncio
import os
import random
import signal

from keyfast.server import log
from keyfast.server.supervisor import Child, Supervisor, python
from keyfast.services.founding import ensure_server_certificate, found_installation, open_installation
from keyfast.settings import Settings
from keyfast.store.database import Database
from keyfast.store.schema import upgrade


def children(settings: Settings, *, logs: bool = False) -> list[Child]:
    """The processes of a server."""
    directory = settings.data / "log"
    return [
        Child(
            name,
            python("keyfast.server.process", name, "--data", str(settings.data)),
            directory / f"{name}.log" if logs else None,
        )
        for name in ("check-in", "admin")
    ]


async def prepare(settings: Settings, *, found: bool, name: str, now: int) -> str:
    """Bring the schema up to date and open (or, if ``found``, make) the installation; return its id."""
    os.umask(0o077)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    await asyncio.to_thread(upgrade, settings.database_url)
    database = await Database.open(settings.database_url)
    try:
        if found:
            opened = await found_installation(settings, database, name, now)
        else:
            opened = await open_installation(settings, database)
            ensure_server_certificate(settings, opened.kek, now)
    finally:
        await database.close()
    return opened.installation.id


def supervisor() -> Supervisor:
    """A supervisor that stops on SIGTERM and Ctrl-C. Call it inside a running event loop."""
    made = Supervisor(log.get(), random.random)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, made.stop)
    return made


async def serve(settings: Settings) -> None:
    """Run the server's processes until told to stop."""
    running = supervisor()
    for child in children(settings):
        running.start(child)
    await running.stopped()
