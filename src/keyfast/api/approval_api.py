"""The admin API of approvals: acts that wait for a second person."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, query
from keyfast.services.approvals import ApprovalService
from keyfast.wire.people import ApprovalLine


class ApprovalApi:
    """Handlers of ``/admin/v1/approvals``."""

    def __init__(self, approvals: ApprovalService) -> None:
        self._approvals = approvals

    @query(after=str, limit=int)
    async def list_(self, request: Request) -> Answer[list[ApprovalLine]]:
        """``GET /admin/v1/approvals``: acts that wait for a second person, and those decided, newest first."""
        query = request.query_params
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._approvals.list_(query.get("after", ""), limit))

    async def approve(self, request: Request) -> Answer[ApprovalLine]:
        """``POST /admin/v1/approvals/{id}/approve``: a second person agrees."""
        return ok(await self._approvals.decide(request.path_params["id"], caller_of(request), agrees=True))

    async def deny(self, request: Request) -> Answer[ApprovalLine]:
        """``POST /admin/v1/approvals/{id}/deny``: a second person does not, or not any more."""
        return ok(await self._approvals.decide(request.path_params["id"], caller_of(request), agrees=False))
