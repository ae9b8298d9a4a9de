"""What a rotation does to credential generations: refuse them for work, trust them again, destroy them."""

from dataclasses import replace
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import generation
from keyfast.core.generation import GenerationEvent
from keyfast.errors import ConflictError
from keyfast.store import accounts


class Generations(Protocol):
    """Changes the generations of an account in the caller's transaction; each may be done twice."""

    async def change(self, conn: AsyncConnection, account: str, what: str, now: int) -> int:
        """Take every generation of an account through ``retired``, ``retrusted`` or ``destroyed``; return how many.

        Raises:
            ConflictError: this server cannot do that.
        """
        ...


class StoredGenerations:
    """Implements ``Generations`` by the table of ``core.generation``."""

    async def change(self, conn: AsyncConnection, account: str, what: str, now: int) -> int:
        """See ``Generations.change``; a generation for which the table has no such cell stays as it is."""
        try:
            event = GenerationEvent(what)
        except ValueError:
            raise ConflictError(f"this server has no credential generations that are '{what}'") from None
        changed = 0
        for row in await accounts.generations(conn):
            state = generation.TABLE.get((row.state, event))
            if row.account_key != account or state is None or state is row.state:
                continue
            sealed = "" if what == "destroyed" else row.password_sealed
            after = replace(row, state=state, password_sealed=sealed, judged_at=now)
            changed += await accounts.set_generation(conn, row, after)
        return changed
