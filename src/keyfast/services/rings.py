"""Which ring an endpoint or a package is of, for people who answer for some rings only."""

from keyfast.store import endpoints, packages
from keyfast.store.database import Database


class StoredRings:
    """Implements ``api.gate.Rings`` over the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ring_of(self, noun: str, number: str) -> str | None:
        """Return the ring of an ``endpoint`` or a ``package``, None if there is none of that id."""
        async with self._database.read() as conn:
            if noun == "endpoint":
                return await endpoints.ring_of(conn, number)
            found = await packages.get(conn, number)
        return None if found is None else found.ring
