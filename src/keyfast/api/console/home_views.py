"""The overview: what can be told without reading endpoints one by one."""

from starlette.responses import Response

from keyfast.api.console.frame import Frame
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.endpoint import EndpointState
from keyfast.core.role import Permission
from keyfast.core.roll_call import Kind
from keyfast.core.search import Search
from keyfast.services.roll_call import INTERVAL_SECONDS

SHOWN = 8
MINUTES = 60
AHEAD_DAYS = 60
OF_A_KIND = 3
_WAITING = (EndpointState.PENDING, EndpointState.CLONE_SUSPECT)


class HomeViews:
    """Handlers of ``/``.

    Everything here is read by an index and cut to a handful; what is counted was counted by the last roll call, or
    while endpoints checked in.
    """

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._services = services

    async def overview(self, visit: Visit) -> Response:
        """``GET /``: for somebody who answers for some rings only, the way to their endpoints."""
        if not visit.may(Permission.READ):
            return await self._frame.page(visit, "overview_ring.html")
        waiting = [
            line
            for state in _WAITING
            for line in await self._services.reports.list_page(Search(state=state), limit=SHOWN)
        ]
        counted = await self._services.incidents.roll_call(MINUTES, OF_A_KIND)
        ahead = await self._services.forecasts.forecast(AHEAD_DAYS)
        return await self._frame.page(
            visit,
            "overview.html",
            counted=counted,
            roll_call_s=INTERVAL_SECONDS,
            silent=[line for line in counted.groups if line.silent and line.group != Kind.EVERYBODY.value][:SHOWN],
            traffic=counted.traffic[::-1],
            endings=ahead.endings[:SHOWN],
            waiting=waiting[:SHOWN],
            accounts=await self._services.accounts.list_(),
            rotations=await self._services.rotations.list_(SHOWN),
            packages=await self._services.package_reports.list_page("", SHOWN),
            nodes=await self._services.nodes.list_(),
            events=await self._services.reports.events_page(None, SHOWN),
        )
