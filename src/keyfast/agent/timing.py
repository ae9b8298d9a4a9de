"""Time as an agent may trust it: the server's, carried forward by a clock nobody can set.

The endpoint's wall clock decides nothing that matters. While a boot lasts, its boot clock (which counts
suspension) carries both the schedule and the server's time; across a boot the wall clock is a hint,
and one that went back means that it is time to ask, so that a clock set back years silences nobody.
"""

import msgspec


class Moment(msgspec.Struct, frozen=True):
    """One reading of the endpoint's clocks.

    Attributes:
        wall: unix seconds by the endpoint's own clock; may be years off.
        boot: seconds since boot, suspension included.
        boot_id: which boot that was.
    """

    wall: float
    boot: float
    boot_id: str


class Due(msgspec.Struct, frozen=True):
    """When to act next: ``delay`` seconds after ``since``."""

    since: Moment
    delay: float

    def remaining(self, now: Moment) -> float:
        """Seconds left at ``now`` to the millisecond, in [0, delay] whatever happened to the clock."""
        elapsed = _elapsed(self.since, now)
        if elapsed < 0:
            # The clock went back over a boot: how long to wait cannot be known, and asking harms nobody.
            return 0.0
        # Rounded, because what is left of a float may be too small to ever pass.
        return max(round(self.delay - elapsed, 3), 0.0)

    def carried(self, now: Moment) -> "Due":
        """Return the same wait as of the boot of ``now``, never shorter than it was meant.

        Where the clock went back over the boot, nobody knows how much has passed, and it starts again.
        """
        if self.since.boot_id == now.boot_id:
            return self
        passed = max(0.0, now.wall - self.since.wall)
        return Due(now, max(self.delay - passed, 0.0))


class Anchor(msgspec.Struct, frozen=True):
    """A server time (unix seconds) and the moment it was heard."""

    server: int
    at: Moment

    def server_now(self, now: Moment) -> int:
        """Estimate the server's time at ``now``; never before the time that was heard."""
        return self.server + max(0, int(_elapsed(self.at, now)))


def server_now(anchor: Anchor | None, now: Moment) -> int:
    """Estimate the server's time in unix seconds; before the first answer, by the own clock."""
    return int(now.wall) if anchor is None else anchor.server_now(now)


def _elapsed(since: Moment, now: Moment) -> float:
    if since.boot_id == now.boot_id:
        return now.boot - since.boot
    return now.wall - since.wall
