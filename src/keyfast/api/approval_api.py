"""The admin API of approvals: acts that wait for a second person."""

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, ok
from keyfast.api.gate import caller_of
from keyfast.services.approvals import ApprovalService


class ApprovalApi:
    """Handlers of ``/admin/v1/approvals``."""

    def __init__(self, approvals: ApprovalService) -> None:
        self._approvals = approvals

    async def list_(self, request: Request) -> Response:
        """``GET /admin/v1/approvals``: newest first."""
        query = request.query_params
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._approvals.list_(query.get("after", ""), limit))

    async def approve(self, request: Request) -> Response:
        """``POST /admin/v1/approvals/{id}/approve``: a second person agrees."""
        return ok(await self._approvals.decide(request.path_params["id"], caller_of(request), agrees=True))

    async def deny(self, request: Request) -> Response:
        """``POST /admin/v1/approvals/{id}/deny``: a second person does not, or not any more."""
        return ok(await self._approvals.decide(request.path_params["id"], caller_of(request), agrees=False))
