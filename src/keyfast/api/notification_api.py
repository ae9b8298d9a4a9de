"""The admin API of notifications: what was told, to whom, and whether it arrived."""

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, ok
from keyfast.api.gate import caller_of
from keyfast.services.notify import NotificationService


class NotificationApi:
    """Handlers of ``/admin/v1/notifications``."""

    def __init__(self, notifications: NotificationService) -> None:
        self._notifications = notifications

    async def list_(self, request: Request) -> Response:
        """``GET /admin/v1/notifications``: newest first."""
        query = request.query_params
        before = http.query_int(query, "before", 0, 2**31) or None
        return ok(await self._notifications.list_page(before, http.query_int(query, "limit", PAGE, MAX_PAGE)))

    async def test(self, request: Request) -> Response:
        """``POST /admin/v1/notifications/test``: send every receiver a test."""
        return ok(await self._notifications.test(caller_of(request).name))
