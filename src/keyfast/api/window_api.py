"""The admin API of recovery windows, and the banner that every answer carries while one is open."""

from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks, query
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.wire.window import BANNER_HEADER, WindowClose, WindowLine, WindowOrder, WindowView

PAGE = 20
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class WindowApi:
    """Handlers of ``/admin/v1/windows``."""

    def __init__(self, windows: RecoveryWindowService) -> None:
        self._windows = windows

    @query(limit=int)
    async def windows(self, request: Request) -> Answer[list[WindowLine]]:
        """``GET /admin/v1/windows``: recovery windows, newest first."""
        return ok(await self._windows.list_(http.query_int(request.query_params, "limit", PAGE, MAX_PAGE)))

    @query(window=str)
    async def window(self, request: Request) -> Answer[WindowView]:
        """``GET /admin/v1/windows/show?window=``: one window with who is missing; none named is the newest."""
        return ok(await self._windows.show(request.query_params.get("window", "")))

    async def open_window(self, request: Asks[WindowOrder]) -> Answer[WindowView]:
        """``POST /admin/v1/windows/open``: open a recovery window."""
        return ok(await self._windows.open_(await asked(request, WindowOrder), caller_of(request).name))

    async def close_window(self, request: Asks[WindowClose]) -> Answer[WindowView]:
        """``POST /admin/v1/windows/close``: close a recovery window, refused while endpoints are missing."""
        return ok(await self._windows.close(await asked(request, WindowClose), caller_of(request).name))


class Banner:
    """Puts the banner into the headers of every answer (ASGI middleware).

    Args:
        app: what answers.
        text: returns the banner, empty for none.
    """

    def __init__(self, app: ASGIApp, text: Callable[[], str]) -> None:
        self._app = app
        self._text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_banner(message: Message) -> None:
            # Read when the answer begins: the request may have opened or closed the window.
            text = self._text() if message["type"] == "http.response.start" else ""
            if text:
                line = (BANNER_HEADER.encode(), quote(text, safe=_PLAIN).encode("ascii"))
                message = {**message, "headers": [*message["headers"], line]}
            await send(message)

        await self._app(scope, receive, with_banner)
