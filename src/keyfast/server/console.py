"""The listener for people who are elsewhere: HTTPS, with the server's own certificate."""

import asyncio
import contextlib
from collections.abc import Callable

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.types import ASGIApp

from keyfast.errors import NotReadyError
from keyfast.settings import Settings

LOOK_SECONDS = 60
DRAIN_SECONDS = 5.0
"""A stop waits so long for what is being answered: a computer that was put to sleep takes nothing, but stays."""


async def serve(
    settings: Settings, app: ASGIApp, end_streams: Callable[[], None], start_again: Callable[[], None]
) -> None:
    """Serve until cancelled.

    Args:
        settings: where.
        app: what.
        end_streams: ends what would go on for as long as somebody watches; a stop waits for whatever is being answered.
        start_again: called when the certificate was renewed, as TLS reads it at the start only.

    Raises:
        NotReadyError: the address cannot be listened on.
    """
    certificate, where = settings.tls / "server.pem", settings.console
    made = certificate.read_bytes()
    server = Server(
        app,
        address=where.listen,
        port=where.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
        ssl_cert=certificate,
        ssl_key=settings.tls / "server.key",
    )
    stop: Callable[[], None] = server.stop
    serving = asyncio.create_task(server.serve())
    try:
        while not serving.done() and await asyncio.to_thread(certificate.read_bytes) == made:
            await asyncio.wait({serving}, timeout=LOOK_SECONDS)
        start_again()
    finally:
        end_streams()
        stop()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(serving, DRAIN_SECONDS)
        except (OSError, RuntimeError) as cause:
            raise NotReadyError(
                f"cannot listen on {where.listen}:{where.port} (console): {cause}", repair="change console.port"
            ) from cause
