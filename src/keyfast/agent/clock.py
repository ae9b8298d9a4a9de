"""The endpoint's clocks."""

import time
from typing import Protocol

from keyfast.agent.timing import Moment


class Clock(Protocol):
    """Reads all clocks at once."""

    def now(self) -> Moment:
        """Return this moment."""
        ...


class SystemClock:
    """The clocks of this machine.

    Args:
        boot_id: id of the running boot.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        # Counts suspension where the system can; elsewhere the clamped schedule makes up for it.
        self._source = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))

    def now(self) -> Moment:
        """See ``Clock.now``."""
        boot = time.monotonic() if self._source is None else time.clock_gettime(self._source)
        return Moment(wall=time.time(), boot=boot, boot_id=self._boot_id)
