"""Acts that wait for a second person."""

from starlette.responses import Response

from keyfast.api.console.frame import Frame, go
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit

PAGE = 50


class ApprovalViews:
    """Handlers of ``/approvals``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._approvals = services.approvals

    async def list_(self, visit: Visit) -> Response:
        """``GET /approvals``: newest first, a page of them."""
        lines = await self._approvals.list_(visit.query("after"), PAGE)
        more = lines[-1].id if len(lines) == PAGE else ""
        return await self._frame.page(visit, "approvals.html", lines=lines, more=more)

    async def approve(self, visit: Visit) -> Response:
        """``POST /approvals/{id}/approve``."""
        await self._approvals.decide(visit.path("id"), visit.caller, agrees=True)
        return go("/approvals", "approved")

    async def deny(self, visit: Visit) -> Response:
        """``POST /approvals/{id}/deny``."""
        await self._approvals.decide(visit.path("id"), visit.caller, agrees=False)
        return go("/approvals", "changed")
