"""The two processes of a server: ``python -m keyfast.server.process check-in|admin --data DIR``."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from keyfast import settings as settings_room
from keyfast.errors import KeyfastError
from keyfast.server import compose, log
from keyfast.services.founding import ensure_server_certificate
from keyfast.settings import Settings

BACKLOG = 4096
CERTIFICATE_SECONDS = 6 * 3600


async def check_in(settings: Settings) -> None:
    """Serve the endpoint API over TLS until told to stop; drain what was accepted."""
    parts = await compose.open_parts(settings)
    service = await compose.check_in_service(parts)
    await service.voice.tell()
    server = Server(
        service.app,
        address=settings.listen,
        port=settings.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        log_level=LogLevels.warning,
        ssl_cert=settings.tls / "server.pem",
        ssl_key=settings.tls / "server.key",
    )
    renewing = asyncio.create_task(_renew_certificate(parts, server.stop))
    _tune_garbage_collection()
    await _serve(
        server,
        parts,
        service.tally.follow(_told("tally_failed")),
        service.traffic.follow(_told("traffic_failed")),
        service.voice.follow(_told("node_failed")),
    )
    renewing.cancel()
    await service.voice.leave()
    await service.close()
    await parts.database.close()


async def admin(settings: Settings) -> None:
    """Serve the admin API on the local socket, and over TLS if there is a port for it, until told to stop."""
    from keyfast.server import compose_admin, console  # noqa: PLC0415 - the other process carries no console

    parts = await compose.open_parts(settings)
    service = compose_admin.admin_service(parts)
    await service.modes.follow_settings()
    await service.packages.resume()
    settings.admin_socket.parent.mkdir(mode=0o700, exist_ok=True)
    settings.admin_socket.unlink(missing_ok=True)
    server = Server(
        service.app,
        uds=settings.admin_socket,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    )
    beside = (
        []
        if not settings.console.port
        else [console.serve(settings, service.network, service.streams.end_all, server.stop)]
    )
    await _serve(
        server,
        parts,
        *beside,
        service.watch.follow(_told("watch_failed")),
        service.windows.follow(_told("window_failed")),
        service.rotations.follow(_told("rotation_failed")),
        service.roll_calls.follow(_told("roll_call_failed")),
        service.sealer.follow(_told("seal_failed")),
        service.keeper.follow(_told("shorten_failed")),
        service.notifier.follow(_told("notify_failed")),
        service.answers.follow(_told("forget_failed")),
    )
    await service.directory.close()
    await parts.database.close()


async def _serve(server: Server, parts: compose.Parts, *beside: Coroutine[None, None, None]) -> None:
    """Serve until told to stop, with jobs beside it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    jobs = [asyncio.create_task(job) for job in (parts.live.follow(_told("refresh_failed")), *beside)]
    try:
        await server.serve()
    finally:
        for job in jobs:
            job.cancel()
        for job in jobs:
            with contextlib.suppress(asyncio.CancelledError):
                await job


def _tune_garbage_collection() -> None:
    """A check-in leaves no cycles behind; looking for some after every 700 objects cost 15 % of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _renew_certificate(parts: compose.Parts, restart: Callable[[], None]) -> None:
    """Renew the server certificate in time; TLS reads it at the start only, so this service starts again then."""
    while True:
        await asyncio.sleep(CERTIFICATE_SECONDS)
        if await asyncio.to_thread(ensure_server_certificate, parts.settings, parts.opened.kek, int(compose.clock())):
            log.get().info("certificate_renewed")
            restart()


def _told(event: str) -> Callable[[Exception], None]:
    """What a job does about its failures: the log says so, under this event."""
    return lambda cause: log.get().error(event, reason=str(cause)[:300])


PROCESSES: dict[str, Callable[[Settings], Awaitable[None]]] = {"check-in": check_in, "admin": admin}


def main() -> None:
    """Run one process; a fault ends it with one line that says what and how to mend it."""
    parser = argparse.ArgumentParser(prog="keyfast.server.process")
    parser.add_argument("process", choices=PROCESSES)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    os.umask(0o077)
    log.configure(asked.process)
    try:
        _run(PROCESSES[asked.process](settings_room.load(asked.data.resolve())))
    except KeyfastError as fault:
        log.get().error("cannot_serve", code=fault.code, reason=f"{fault.message}; {fault.repair}".rstrip("; "))
        sys.exit(fault.exit_code)


def _run(main_coroutine: Awaitable[None]) -> None:
    async def entry() -> None:
        await main_coroutine

    if sys.platform == "win32":
        asyncio.run(entry())
        return
    import uvloop  # noqa: PLC0415 - not on Windows

    uvloop.run(entry())


if __name__ == "__main__":
    main()
