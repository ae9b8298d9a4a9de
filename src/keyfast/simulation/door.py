"""The way in to a simulated server: requests are handed to its application as they are, without sockets or TLS."""

from collections.abc import Iterable
from typing import Any

import httpx2
from starlette.types import ASGIApp, Message

ADDRESS = ("127.0.0.1", 123)
"""Where a request comes from that does not say otherwise (extension ``client``)."""


class Door(httpx2.AsyncBaseTransport):
    """Leads to a server, which may be another one after a restore, or none.

    It does what ``httpx2.ASGITransport`` does, for whole bodies only and in a quarter of the time.

    Args:
        urls: where there is a server; whoever asks elsewhere finds nobody.

    Attributes:
        app: the server's application (ASGI), None while it is down.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self.app: ASGIApp | None = None
        self._hosts = {httpx2.URL(url).host for url in urls}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on.

        Raises:
            httpx2.ConnectError: there is no server.
        """
        if self.app is None or request.url.host not in self._hosts:
            raise httpx2.ConnectError("no server is there", request=request)
        body = await request.aread()
        start: Message = {}
        answer = bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            answer.extend(message.get("body", b""))

        await self.app(_scope(request), receive, send)
        return httpx2.Response(start["status"], headers=start["headers"], content=bytes(answer))


def _scope(request: httpx2.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": request.extensions.get("client", ADDRESS),
        "root_path": "",
    }
