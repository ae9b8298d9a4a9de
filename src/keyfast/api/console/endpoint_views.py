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
from keyfast.core.protection import Disks
from keyfast.core.role import Permission
from keyfast.core.search import read_search
from keyfast.errors import NotFoundError, UsageError

PAGE = 50


class EndpointViews:
    """Handlers of ``/endpoints``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._live = services.live
        self._reports = services.reports
        self._commands = services.commands
        self._accounts = services.accounts
        self._searches = services.searches

    async def list_(self, visit: Visit) -> Response:
        """``GET /endpoints``: in order of name; an id, or what nobody is called but a computer has, leads there."""
        search = read_search(visit.request.query_params)
        found = ids.parse_endpoint_id(search.q.lower())
        if found is not None:
            return go(f"/endpoints/{found}")
        limit = http.query_int(visit.request.query_params, "limit", PAGE, 4 * PAGE)
        lines = await self._reports.list_page(
            search, after=visit.query("after"), limit=limit + 1, rings=visit.person.rings
        )
        kept = {"limit": str(limit)} if limit != PAGE else {}
        return await self._frame.page(
            visit,
            "endpoints.html",
            lines=lines[:limit],
            more=lines[limit - 1].id if len(lines) > limit else "",
            search=search,
            again=urlencode(search.query | kept),
            after=visit.query("after"),
            states=tuple(EndpointState),
            disks=tuple(Disks),
            kept=await self._searches.list_(visit.person),
            accounts=await self._accounts.names() if visit.may(Permission.READ) else [],
        )

    async def save_search(self, visit: Visit) -> Response:
        """``POST /searches``: keep what is looked for under a name."""
        search = read_search(dict(visit.form.fields()))
        await self._searches.save(visit.person, visit.form.text("kept"), search)
        return go(f"/endpoints?{urlencode(search.query)}", "kept")

    async def remove_search(self, visit: Visit) -> Response:
        """``POST /searches/remove``."""
        await self._searches.remove(visit.person, visit.form.text("kept"))
        return go("/endpoints", "changed")

    async def show(self, visit: Visit) -> Response:
        """``GET /endpoints/{id}``."""
        found = await self._reports.show(visit.path("id"))
        state = EndpointState(found.line.state)
        acts = tuple(act for act, event in DECISIONS.items() if (state, event) in TABLE)
        newest = self._live.current.profile(Mode(found.mode)).seq
        return await self._frame.page(
            visit,
            "endpoint.html",
            found=found,
            line=found.line,
            acts=acts,
            newest_profile=newest,
            interval=self._live.current.policy.check_in_interval_s,
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
