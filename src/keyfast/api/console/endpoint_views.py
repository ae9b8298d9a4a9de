"""Endpoints: find some, look at one, decide about it."""

from urllib.parse import urlencode

from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core import ids
from keyfast.core.endpoint import DECISIONS, TABLE, EndpointEvent, EndpointState
from keyfast.core.mode import Mode
from keyfast.core.role import Permission
from keyfast.errors import NotFoundError, UsageError

PAGE = 50
MAX_NAME = 256


class EndpointViews:
    """Handlers of ``/endpoints``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._live = services.live
        self._reports = services.reports
        self._commands = services.commands
        self._accounts = services.accounts

    async def list_(self, visit: Visit) -> Response:
        """``GET /endpoints``: in order of name; an id, or what nobody is called but a computer has, leads there."""
        text, state = visit.query("q")[:MAX_NAME], _state(visit.query("state"))
        found = ids.parse_endpoint_id(text.lower())
        if found is not None:
            return go(f"/endpoints/{found}")
        limit = http.query_int(visit.request.query_params, "limit", PAGE, 4 * PAGE)
        account, rings = visit.query("account") if visit.may(Permission.READ) else "", visit.person.rings
        lines = await self._reports.list_page(
            after=visit.query("after"), limit=limit + 1, name=text, state=state, rings=rings, account=account
        )
        if not lines and text:
            lines = await self._reports.on_computer(text, rings)
        asked = {"q": text, "state": visit.query("state"), "account": account, "limit": visit.query("limit")}
        return await self._frame.page(
            visit,
            "endpoints.html",
            lines=lines[:limit],
            more=lines[limit - 1].id if len(lines) > limit else "",
            q=text,
            state=visit.query("state"),
            account=account,
            again=urlencode({name: word for name, word in asked.items() if word}),
            after=visit.query("after"),
            states=tuple(known.value for known in EndpointState),
            accounts=await self._accounts.names() if visit.may(Permission.READ) else [],
        )

    async def show(self, visit: Visit) -> Response:
        """``GET /endpoints/{id}``."""
        found = await self._reports.show(visit.path("id"))
        state = EndpointState(found.line.state)
        acts = tuple(act for act, event in DECISIONS.items() if (state, event) in TABLE)
        newest = self._live.current.profile(Mode(found.mode)).seq
        return await self._frame.page(
            visit, "endpoint.html", found=found, line=found.line, acts=acts, newest_profile=newest
        )

    async def check_in_now(self, visit: Visit) -> Response:
        """``POST /endpoints/{id}/check-in-now``."""
        await self._commands.check_in_now(visit.path("id"), 0, visit.by)
        return go(f"/endpoints/{visit.path('id')}", "asked")

    async def renew_key(self, visit: Visit) -> Response:
        """``POST /endpoints/{id}/renew-key``."""
        await self._commands.renew_key(visit.path("id"), visit.by)
        return go(f"/endpoints/{visit.path('id')}", "asked")

    async def judge(self, visit: Visit) -> Response:
        """``POST /endpoints/{id}/{event}``: approve, revoke, reinstate, clear."""
        event = DECISIONS.get(visit.path("event"))
        if event is None:
            raise NotFoundError("no such act")
        if event is EndpointEvent.REVOKED and visit.form.text("name") != visit.form.text("typed"):
            raise UsageError("type the name of the endpoint to revoke it")
        await self._reports.change(visit.path("id"), event, visit.by)
        return go(f"/endpoints/{visit.path('id')}", "changed")


def _state(text: str) -> EndpointState | None:
    try:
        return EndpointState(text) if text else None
    except ValueError:
        raise UsageError(f"no state '{text}'") from None
