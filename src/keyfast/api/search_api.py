"""The admin API of searches that people keep."""

from starlette.requests import Request

from keyfast.api.admin_api import asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks
from keyfast.services.saved_searches import SavedSearchService
from keyfast.wire.admin import Changed
from keyfast.wire.search import SavedSearch, SearchOrder


class SearchApi:
    """Handlers of ``/admin/v1/searches``: each caller has their own."""

    def __init__(self, searches: SavedSearchService) -> None:
        self._searches = searches

    async def list_(self, request: Request) -> Answer[list[SavedSearch]]:
        """``GET /admin/v1/searches``: the searches that one keeps, in order of name."""
        return ok(await self._searches.list_(caller_of(request).person))

    async def save(self, request: Asks[SearchOrder]) -> Answer[SavedSearch]:
        """``POST /admin/v1/searches``: keep a search; it replaces one of the same name."""
        order = await asked(request, SearchOrder)
        return ok(await self._searches.save(caller_of(request).person, order.name, order.search))

    async def remove(self, request: Request) -> Answer[Changed]:
        """``POST /admin/v1/searches/{name}/remove``: forget a search."""
        await self._searches.remove(caller_of(request).person, request.path_params["name"])
        return ok(Changed("removed"))
