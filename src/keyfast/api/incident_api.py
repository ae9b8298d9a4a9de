"""The admin API of silence: incidents, roll calls, the server's own diagnosis, and what will end."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.admin_api import ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, query
from keyfast.services.forecast import FOR_EVER, ForecastService
from keyfast.services.incident import IncidentService
from keyfast.services.server_diagnosis import ServerDiagnosisService
from keyfast.wire.incident import ForecastView, IncidentLine, IncidentView, RollCallView, ServerDiagnosis

PAGE, MAX_PAGE = 50, 1000
MINUTES, MAX_MINUTES = 60, 7 * 1440


class IncidentApi:
    """Handlers of ``/admin/v1/incidents`` and what belongs to them."""

    def __init__(
        self, incidents: IncidentService, forecasts: ForecastService, diagnoses: ServerDiagnosisService
    ) -> None:
        self._incidents = incidents
        self._forecasts = forecasts
        self._diagnoses = diagnoses

    @query(before=str, limit=int)
    async def list_(self, request: Request) -> Answer[list[IncidentLine]]:
        """``GET /admin/v1/incidents?before=&limit=``: incidents, newest first."""
        limit = http.query_int(request.query_params, "limit", PAGE, MAX_PAGE)
        return ok(await self._incidents.list_(request.query_params.get("before", ""), limit))

    async def show(self, request: Request) -> Answer[IncidentView]:
        """``GET /admin/v1/incidents/{id}``: whom, since when, why, and what can be done."""
        return ok(await self._incidents.show(request.path_params["id"]))

    async def close(self, request: Request) -> Answer[IncidentLine]:
        """``POST /admin/v1/incidents/{id}/close``: close it: its endpoints will not come back."""
        return ok(await self._incidents.close(request.path_params["id"], caller_of(request).name))

    @query(minutes=int, limit=int)
    async def roll_call(self, request: Request) -> Answer[RollCallView]:
        """``GET /admin/v1/roll-call?minutes=&limit=``: who is silent, by what they have in common, and the traffic."""
        query = request.query_params
        minutes = http.query_int(query, "minutes", MINUTES, MAX_MINUTES)
        return ok(await self._incidents.roll_call(minutes, http.query_int(query, "limit", PAGE, MAX_PAGE)))

    @query(days=int)
    async def forecast(self, request: Request) -> Answer[ForecastView]:
        """``GET /admin/v1/forecast?days=``: what will end, the first first."""
        days = http.query_int(request.query_params, "days", 0, FOR_EVER)
        return ok(await self._forecasts.forecast(days or None))

    async def diagnosis(self, request: Request) -> Answer[ServerDiagnosis]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/diagnosis``: the server's own evidence and findings, now."""
        return ok(await self._diagnoses.diagnose())
