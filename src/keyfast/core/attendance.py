"""When an endpoint was heard: a bit for each of the last hours and days, in numbers that a check-in writes anyway.

A row per check-in would be 24 million rows a day for a million endpoints. Two whole numbers on the row of the
endpoint say as much as a person looks for: whether it was there. The lowest bit is the hour, or the UTC day, of the
last check-in, the next one that before it.
"""

import msgspec

HOUR = 3600
DAY = 86_400
KEPT = 63
"""Bits of a number that both databases hold with its sign."""
_ALL = (1 << KEPT) - 1


class Mark(msgspec.Struct, frozen=True):
    """An hour or a day: when it began (unix seconds), and whether the endpoint was heard in it; None if unknown."""

    at: int
    heard: bool | None


def marked(bits: int, last_at: int, now: int, step: int) -> int:
    """Return ``bits`` after a check-in.

    Args:
        bits: as of the last check-in.
        last_at: when that was (unix seconds).
        now: when this one is; a node whose clock is behind may say less than ``last_at``.
        step: seconds that a bit stands for.
    """
    steps = now // step - last_at // step
    moved = bits >> -steps if steps < 0 else bits << min(steps, KEPT)
    return (moved | 1) & _ALL


def marks(bits: int, last_at: int, now: int, step: int, since: int) -> tuple[Mark, ...]:
    """Tell of each step that is kept, the oldest first, up to that of ``now``.

    Args:
        bits: as of the last check-in.
        last_at: when that was (unix seconds), 0 for never.
        now: unix seconds.
        step: seconds that a bit stands for.
        since: when the endpoint came on record (unix seconds).
    """
    newest = now // step
    return tuple(Mark(at * step, _heard(bits, last_at // step - at, at, since // step)) for at in _kept(newest))


def _kept(newest: int) -> range:
    return range(newest - KEPT + 1, newest + 1)


def _heard(bits: int, back: int, at: int, first: int) -> bool | None:
    if at < first or back >= KEPT:
        return None
    return back >= 0 and bool(bits >> back & 1)
