"""Searches for endpoints that people keep under a name of their own; nobody else sees them."""

from collections.abc import Callable

from keyfast.core.person import Person
from keyfast.core.search import MAX_TEXT, Search, read_search
from keyfast.core.visible import visible
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.store import saved_searches
from keyfast.store.database import Database
from keyfast.store.saved_searches import SavedSearchRow
from keyfast.wire.search import SavedSearch

MOST = 50
"""Searches that one person keeps."""
MAX_NAME = 60


class SavedSearchService:
    """Keeps and forgets searches."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def list_(self, person: Person) -> list[SavedSearch]:
        """Return somebody's, in order of name."""
        async with self._database.read() as conn:
            rows = await saved_searches.of_person(conn, person.id, limit=MOST)
        return [SavedSearch(row.name, read_search(row.query), row.saved_at) for row in rows]

    async def save(self, person: Person, name: str, search: Search) -> SavedSearch:
        """Keep a search; it replaces one of the same name.

        Raises:
            UsageError: it looks for nothing, or the name is none.
            ConflictError: there are too many.
        """
        name, query = name.strip(), search.query
        if not name or not name.isprintable() or len(name) > MAX_NAME:
            raise UsageError(f"a name is one line of printable text of at most {MAX_NAME} characters")
        if not query or any(len(text) > MAX_TEXT for text in query.values()):
            raise UsageError("a search that is kept says what it looks for")
        now = int(self._clock())
        async with self._database.write() as conn:
            if await saved_searches.others(conn, person.id, name) >= MOST:
                raise ConflictError(f"nobody keeps more than {MOST} searches; forget one first")
            await saved_searches.put(conn, SavedSearchRow(person.id, name, dict(query), now))
        return SavedSearch(name, search, now)

    async def remove(self, person: Person, name: str) -> None:
        """Forget a search.

        Raises:
            NotFoundError: they keep none of this name.
        """
        async with self._database.write() as conn:
            if not await saved_searches.remove(conn, person.id, name):
                raise NotFoundError(f"no search is kept as '{visible(name)}'", repair="keyfast search list")
