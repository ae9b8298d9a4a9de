"""The admin API of notifications: what was told, to whom, and whether it arrived."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, query
from keyfast.services.notify import NotificationService
from keyfast.wire.notification import NotificationLine


class NotificationApi:
    """Handlers of ``/admin/v1/notifications``."""

    def __init__(self, notifications: NotificationService) -> None:
        self._notifications = notifications

    @query(before=int, limit=int)
    async def list_(self, request: Request) -> Answer[list[NotificationLine]]:
        """``GET /admin/v1/notifications``: what was told to whom, newest first."""
        query = request.query_params
        before = http.query_int(query, "before", 0, 2**31) or None
        return ok(await self._notifications.list_page(before, http.query_int(query, "limit", PAGE, MAX_PAGE)))

    async def test(self, request: Request) -> Answer[NotificationLine]:
        """``POST /admin/v1/notifications/test``: send every receiver a test."""
        return ok(await self._notifications.test(caller_of(request).name))
