"""Who wants to hear how far endpoints have come, in the same transaction: recovery windows, later rotations."""

from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.commands import CommandRow


class Windows(Protocol):
    """Recovery windows, as far as recovery and probes depend on them."""

    async def covering(self, endpoint_id: str, address: str, now: int) -> str | None:
        """Return the id of an open window that covers an endpoint (empty: one that is not known) at an address.

        Raises:
            NotReadyError: the store is down.
        """
        ...

    async def reached(self, conn: AsyncConnection, window_id: str, endpoint_id: str, now: int) -> None:
        """An endpoint made a recovery check-in that was answered."""
        ...

    async def proven(self, conn: AsyncConnection, endpoint_id: str, change: CommandRow | None, now: int) -> None:
        """An endpoint was let in by a probe, with what ``change`` brought it."""
        ...


class NoWindows:
    """No recovery window is ever open."""

    async def covering(self, endpoint_id: str, address: str, now: int) -> str | None:  # noqa: ARG002 - the port's
        """See ``Windows.covering``."""
        return None

    async def reached(self, conn: AsyncConnection, window_id: str, endpoint_id: str, now: int) -> None:
        """See ``Windows.reached``."""

    async def proven(self, conn: AsyncConnection, endpoint_id: str, change: CommandRow | None, now: int) -> None:
        """See ``Windows.proven``."""
