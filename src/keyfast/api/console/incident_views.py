"""Incidents: who stopped, since when, what they share, why, and the ways out; what will end; what was looked at."""

import msgspec
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.roll_call import Kind, credential_of
from keyfast.wire.incident import CourseView, IncidentView, MinuteLine

PAGE = 50
MINUTES = 180
MINUTE = 60


class IncidentViews:
    """Handlers of ``/incidents``, ``/forecast``, ``/diagnosis`` and ``/traffic.json``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._incidents = services.incidents
        self._forecasts = services.forecasts
        self._diagnoses = services.diagnoses
        self._clock = services.clock

    async def list_(self, visit: Visit) -> Response:
        """``GET /incidents``: newest first."""
        lines = await self._incidents.list_(visit.query("before"), PAGE + 1)
        more = lines[PAGE - 1].id if len(lines) > PAGE else ""
        return await self._frame.page(visit, "incidents.html", lines=lines[:PAGE], more=more)

    async def show(self, visit: Visit) -> Response:
        """``GET /incidents/{id}``."""
        found = await self._incidents.show(visit.path("id"))
        return await self._frame.page(visit, "incident.html", live=_live(found), account=_account(found))

    async def live(self, asked: Asked) -> Live:
        """``GET /incidents/{id}/live``: how many are silent now; the whole page again in another state."""
        return _live(await self._incidents.course(asked.path("id")))

    async def course(self, visit: Visit) -> Response:
        """``GET /incidents/{id}/course.json``: what the plot on the page draws."""
        found = await self._incidents.course(visit.path("id"))
        points = {point.at: point.silent for point in found.course}
        series = [{"label": "Silent endpoints", "values": [points[at] for at in sorted(points)]}]
        return http.answer(msgspec.json.encode({"at": sorted(points), "series": series}))

    async def close(self, visit: Visit) -> Response:
        """``POST /incidents/{id}/close``: its endpoints will not come back."""
        await self._incidents.close(visit.path("id"), visit.by)
        return go(f"/incidents/{visit.path('id')}", "changed")

    async def forecast(self, visit: Visit) -> Response:
        """``GET /forecast``: what will end, the first first, and whom it takes along."""
        return await self._frame.page(visit, "forecast.html", found=await self._forecasts.forecast(None))

    async def diagnosis(self, visit: Visit) -> Response:
        """``GET /diagnosis``: what this server sees of itself now."""
        return await self._frame.page(visit, "diagnosis.html", found=await self._diagnoses.diagnose())

    async def traffic(self, visit: Visit) -> Response:  # noqa: ARG002 - a view
        """``GET /traffic.json``: check-ins and refusals of the last minutes, those in which nobody came too."""
        counted = await self._incidents.traffic(MINUTES)
        return http.answer(msgspec.json.encode(_series(counted, int(self._clock()))))


def _live(found: IncidentView | CourseView) -> Live:
    line = found.line
    return Live(
        "incident_live.html",
        {"found": found, "line": line},
        path=f"/incidents/{line.id}/live",
        state=line.state,
        moves=not line.ended_at,
        every=5.0,
        asks="every 5s",
    )


def _account(found: IncidentView) -> str:
    return credential_of(found.line.name)[0] if found.line.group == Kind.CREDENTIAL.value else ""


def _series(traffic: tuple[MinuteLine, ...], now: int) -> dict[str, object]:
    last = now // MINUTE * MINUTE
    at = list(range(last - MINUTES * MINUTE, last + MINUTE, MINUTE))
    counted = {line.at: line for line in traffic}
    check_ins = [counted[minute].check_ins if minute in counted else 0 for minute in at]
    refused = [sum(counted[minute].refusals.values()) if minute in counted else 0 for minute in at]
    return {
        "at": at,
        "series": [
            {"label": "Check-ins a minute", "unit": "a minute", "values": check_ins},
            {"label": "Refusals a minute", "unit": "a minute", "values": refused},
        ],
    }
