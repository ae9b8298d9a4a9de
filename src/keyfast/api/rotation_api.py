"""The admin API of rotations."""

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.admin_api import ADMINISTRATOR, MAX_PAGE, PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.core.caller import Via
from keyfast.core.rotation_state import RotationEvent
from keyfast.errors import NotFoundError
from keyfast.services.rotate import RotationService
from keyfast.wire.rotation import Approval, Reason, RotationOrder, Waived, Waiver

NAMES = 20
E = RotationEvent
ACTS: dict[str, RotationEvent] = {
    "start": E.STARTED,
    "pause": E.PAUSED,
    "resume": E.RESUMED,
    "roll-back": E.ROLLED_BACK,
    "retrust": E.RETRUSTED,
    "finish": E.FINISHED,
    "abandon": E.ABANDONED,
}
"""What an operator may do, by the last part of the path; what can strand somebody has a route of its own."""


class RotationApi:
    """Handlers of ``/admin/v1/rotations``."""

    def __init__(self, rotations: RotationService) -> None:
        self._rotations = rotations

    async def list_(self, request: Request) -> Response:
        """``GET /admin/v1/rotations``: newest first."""
        return ok(await self._rotations.list_(http.query_int(request.query_params, "limit", PAGE, MAX_PAGE)))

    async def plan(self, request: Request) -> Response:
        """``POST /admin/v1/rotations``: put a plan on record; nothing happens yet."""
        return ok(await self._rotations.plan(await asked(request, RotationOrder), ADMINISTRATOR))

    async def preview(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/preview``: what a rotation would touch; nothing is written."""
        return ok(await self._rotations.preview(await asked(request, RotationOrder)))

    async def show(self, request: Request) -> Response:
        """``GET /admin/v1/rotations/{id}``: phase, counts, what stands against each step, names of the missing."""
        limit = http.query_int(request.query_params, "limit", NAMES, MAX_PAGE)
        return ok(await self._rotations.show(request.path_params["id"], limit))

    async def approve(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/{id}/approve``: somebody agrees; on the socket whoever they say they are."""
        caller, typed = caller_of(request), (await asked(request, Approval)).name
        name = typed if caller.via is Via.SOCKET else caller.name
        return ok(await self._rotations.approve(request.path_params["id"], name))

    async def waive(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/{id}/waive``: wait no more for endpoints, by name and with a reason."""
        order = await asked(request, Waiver)
        waived = await self._rotations.waive(request.path_params["id"], order.endpoints, order.reason, ADMINISTRATOR)
        return ok(Waived(waived))

    async def act(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/{id}/{act}``: start, pause, resume, roll back, finish ..."""
        event = ACTS.get(request.path_params["act"])
        if event is None:
            raise NotFoundError("no such act")
        return await self._act(request, event)

    async def retire(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/{id}/retire``: refuse the old access from now on."""
        return await self._act(request, E.RETIRED)

    async def hasten(self, request: Request) -> Response:
        """``POST /admin/v1/rotations/{id}/hasten``: offer the new access to everybody at once."""
        return await self._act(request, E.HASTENED)

    async def _act(self, request: Request, event: RotationEvent) -> Response:
        reason = (await asked(request, Reason)).reason
        if event is E.PAUSED and not reason:
            reason = "by an administrator"
        return ok(await self._rotations.act(request.path_params["id"], event, ADMINISTRATOR, reason))
