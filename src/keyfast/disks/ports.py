"""What the rest of Keyfast asks of this room."""

from typing import Protocol

from keyfast.wire.messages import Volume


class Disks(Protocol):
    """Reads the volumes of one machine."""

    def volumes(self) -> tuple[Volume, ...]:
        """Return all volumes; a tool that fails, hangs or is missing makes them unknown, never an error."""
        ...
