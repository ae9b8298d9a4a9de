"""What the agent needs of the operating system under it, and no more."""

import asyncio
from pathlib import Path
from typing import Protocol

from keyfast.agent.client_database import ClientDatabase, Record


class LocalDatabase(ClientDatabase, Protocol):
    """A client database of this machine, sealed by one of its vaults."""

    def set_aside(self) -> None:
        """Keep what cannot be opened under another name, and be empty.

        Raises:
            ClientDatabaseError: it cannot be kept, and is still there.
        """
        ...

    def forget(self) -> None:
        """Remove everything that this agent wrote.

        Raises:
            ClientDatabaseError: something is still there.
        """
        ...


class Platform(Protocol):
    """An operating system."""

    stop_service: str
    """What a person types to stop the agent's service."""

    def state(self) -> Path:
        """Return the default folder of the client database."""
        ...

    def package(self) -> Path:
        """Return the folder where installers leave packages."""
        ...

    def open_database(self, state: Path) -> LocalDatabase:
        """Open the client database, and hold it.

        Raises:
            ClientDatabaseError: another process holds it, or it is exposed to others.
        """
        ...

    def read(self, state: Path) -> tuple[Record | None, str]:
        """Read the record without holding the database; return it and the name of its vault.

        Raises:
            ClientDatabaseError: it cannot be read.
        """
        ...

    def listen(self, state: Path, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Set ``stop`` when this process is to end, and ``hurry`` when somebody wants a check-in now."""
        ...

    def not_yet(self) -> None:
        """Until ``listen``, let nobody who wants a check-in end this process."""
        ...

    def hurry(self, state: Path, pid: int) -> None:
        """Have the agent that holds the database check in now."""
        ...

    def server_url(self) -> str:
        """Return the URL that an installer was given beside the package's, empty if none."""
        ...

    def service(self) -> str:
        """Say how the agent's service is: ``running``, ``stopped``, ``not installed`` or ``unknown``."""
        ...
