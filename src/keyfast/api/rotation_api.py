"""The admin API of rotations."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.acts import ROTATION_ACTS
from keyfast.api.admin_api import MAX_PAGE, PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks, query
from keyfast.core.caller import WayIn
from keyfast.core.rotation_state import RotationEvent
from keyfast.errors import NotFoundError
from keyfast.services.rotate import RotationService
from keyfast.wire.rotation import (
    Approval,
    PreviewView,
    Reason,
    RotationLine,
    RotationOrder,
    RotationView,
    Waived,
    Waiver,
)

NAMES = 20


class RotationApi:
    """Handlers of ``/admin/v1/rotations``."""

    def __init__(self, rotations: RotationService) -> None:
        self._rotations = rotations

    @query(limit=int)
    async def list_(self, request: Request) -> Answer[list[RotationLine]]:
        """``GET /admin/v1/rotations``: rotations, newest first."""
        return ok(await self._rotations.list_(http.query_int(request.query_params, "limit", PAGE, MAX_PAGE)))

    async def plan(self, request: Asks[RotationOrder]) -> Answer[RotationView]:
        """``POST /admin/v1/rotations``: put a plan on record; nothing happens yet."""
        return ok(await self._rotations.plan(await asked(request, RotationOrder), caller_of(request).name))

    async def preview(self, request: Asks[RotationOrder]) -> Answer[PreviewView]:
        """``POST /admin/v1/rotations/preview``: what a rotation would touch; nothing is written."""
        return ok(await self._rotations.preview(await asked(request, RotationOrder)))

    @query(limit=int)
    async def show(self, request: Request) -> Answer[RotationView]:
        """``GET /admin/v1/rotations/{id}``: phase, counts, what stands against each step, names of the missing."""
        limit = http.query_int(request.query_params, "limit", NAMES, MAX_PAGE)
        return ok(await self._rotations.show(request.path_params["id"], limit))

    async def approve(self, request: Asks[Approval]) -> Answer[RotationView]:
        """``POST /admin/v1/rotations/{id}/approve``: somebody agrees; on the socket whoever they say they are."""
        caller, typed = caller_of(request), (await asked(request, Approval)).name
        name = typed if caller.via is WayIn.SOCKET else caller.name
        return ok(await self._rotations.approve(request.path_params["id"], name))

    async def waive(self, request: Asks[Waiver]) -> Answer[Waived]:
        """``POST /admin/v1/rotations/{id}/waive``: wait no more for endpoints, by name and with a reason."""
        order = await asked(request, Waiver)
        waived = await self._rotations.waive(
            request.path_params["id"], order.endpoints, order.reason, caller_of(request).name
        )
        return ok(Waived(waived))

    async def act(self, request: Asks[Reason]) -> Answer[RotationView]:
        """``POST /admin/v1/rotations/{id}/{act}``: go on with it, hold it, or end it."""
        event = ROTATION_ACTS.get(request.path_params["act"])
        if event is None:
            raise NotFoundError("no such act")
        return await self._act(request, event)

    async def retire(self, request: Asks[Reason]) -> Answer[RotationView]:
        """``POST /admin/v1/rotations/{id}/retire``: refuse the old access from now on."""
        return await self._act(request, RotationEvent.RETIRED)

    async def hasten(self, request: Asks[Reason]) -> Answer[RotationView]:
        """``POST /admin/v1/rotations/{id}/hasten``: offer the new access to everybody at once."""
        return await self._act(request, RotationEvent.HASTENED)

    async def _act(self, request: Asks[Reason], event: RotationEvent) -> Answer[RotationView]:
        reason = (await asked(request, Reason)).reason
        if event is RotationEvent.PAUSED and not reason:
            reason = "by an administrator"
        return ok(await self._rotations.act(request.path_params["id"], event, caller_of(request).name, reason))
