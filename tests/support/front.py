"""Stands at the port that endpoints know, before a real server, and breaks there what a test wants broken."""

import asyncio
import contextlib
import http.server
import socket
import ssl
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
How = Callable[[int], AbstractContextManager[object]]


class Front:
    """One port; what stands there is changed by ``stand``, and nothing does after ``close``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._standing = contextlib.ExitStack()

    def stand(self, how: How | None = None) -> None:
        """Put something else there; None leaves the port closed."""
        self._standing.close()
        if how is not None:
            self._standing.enter_context(how(self.port))

    close = stand


@dataclass(frozen=True)
class Certificate:
    """A certificate with what is sent along, and its key, as files."""

    chain: Path
    key: Path

    def context(self, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """A server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.load_cert_chain(self.chain, self.key)
        return context


def relay(upstream: int, certificate: Certificate, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> How:
    """TLS with that certificate, and the real server behind it."""
    outer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outer.check_hostname, outer.verify_mode = False, ssl.CERT_NONE

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, upstream, ssl=outer)
        try:
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        finally:
            to_server.transport.abort()

    return lambda port: _listening(port, serve, certificate.context(newest))


def answering(status: int, certificate: Certificate, *headers: str) -> How:
    """TLS with that certificate, and somebody else's answer to everything."""
    reply = "\r\n".join((f"HTTP/1.1 {status} No", *headers, "content-length: 0", "connection: close", "", ""))

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read(65536)
        writer.write(reply.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return lambda port: _listening(port, serve, certificate.context())


@contextmanager
def plain(port: int) -> Iterator[None]:
    """A web server without TLS."""
    server = http.server.ThreadingHTTPServer((HOST, port), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign,assignment]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def cutting(port: int) -> AbstractContextManager[None]:
    """Closes every connection as soon as something is said."""

    async def serve(reader: StreamReader, _: StreamWriter) -> None:
        await reader.read(16)

    return _listening(port, serve)


@contextmanager
def deaf(port: int) -> Iterator[None]:
    """Takes connections into the queue of the system and never looks at them."""
    with _bound(port, 64):
        yield


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Its queue is full: the system drops every packet that would open a connection."""
    with _bound(port, 0), contextlib.ExitStack() as held:
        for _ in range(64):
            knocking = held.enter_context(socket.socket())
            knocking.settimeout(0.2)
            try:
                knocking.connect((HOST, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue does not fill")
        yield


@contextmanager
def _bound(port: int, backlog: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(backlog)
        yield listener


@contextmanager
def _listening(port: int, serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Serve in a loop of its own until the block ends."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def one(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    async def run() -> None:
        async with await asyncio.start_server(one, HOST, port, ssl=context):
            ready.set()
            await stop.wait()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(10), f"nothing can listen at port {port}"
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _pump(source: StreamReader, sink: StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()
