"""When did it begin: the points at which the rate of something changed, found by likelihood and not by a limit.

Counts are taken as Poisson with an exposure: refused requests among all requests, successes among all. A series is
split where two rates explain it best, then each part again, as long as the gain in log-likelihood is worth the
added point (a penalty of ``_PRICE`` times the logarithm of the length). Nights and weekends do not disturb it, since
there the exposure is small as well.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import log

import msgspec

_PRICE = 4.0
_CLEAR = 2.0
"""Rates that differ by less than this factor are told as one: counts of real servers vary more than Poisson."""
_MOST = 64


class Segment(msgspec.Struct, frozen=True):
    """A part of a series with one rate.

    Attributes:
        begin: index of its first element.
        end: index after its last.
        events: counted in it.
        exposure: in which they were counted.
    """

    begin: int
    end: int
    events: int
    exposure: int

    @property
    def rate(self) -> float:
        """Events per exposure."""
        return self.events / self.exposure if self.exposure else 0.0


def segments(events: Sequence[int], exposures: Sequence[int]) -> tuple[Segment, ...]:
    """Split a series into parts of one rate each, oldest first.

    Args:
        events: counts, one for each step.
        exposures: in how many each was counted, at least as many as events where not zero.
    """
    counted = [0, *accumulate(events)]
    exposed = [0, *accumulate(exposures)]
    parts: list[Segment] = []
    waiting = [(0, len(events))]
    while waiting:
        begin, end = waiting.pop()
        cut = _cut(counted, exposed, begin, end) if len(parts) + len(waiting) < _MOST else None
        if cut is None:
            parts.append(Segment(begin, end, counted[end] - counted[begin], exposed[end] - exposed[begin]))
        else:
            waiting += [(cut, end), (begin, cut)]
    return _merged(parts)


def rise(parts: Sequence[Segment]) -> Segment | None:
    """Return the last segment if the rate rose to it; None if it did not, or fell again."""
    return parts[-1] if len(parts) > 1 and parts[-1].rate > parts[-2].rate else None


def fall(parts: Sequence[Segment]) -> Segment | None:
    """Return the last segment if the rate fell to it; None if it did not, or rose again."""
    return parts[-1] if len(parts) > 1 and parts[-1].rate < parts[-2].rate else None


def _cut(counted: Sequence[int], exposed: Sequence[int], begin: int, end: int) -> int | None:
    """Where one part is best split in two, None if it is not worth it."""
    best, where = _PRICE * log(max(end - begin, 2)), None
    whole = _likelihood(counted[end] - counted[begin], exposed[end] - exposed[begin])
    for cut in range(begin + 1, end):
        left = _likelihood(counted[cut] - counted[begin], exposed[cut] - exposed[begin])
        right = _likelihood(counted[end] - counted[cut], exposed[end] - exposed[cut])
        if left + right - whole > best:
            best, where = left + right - whole, cut
    return where


def _likelihood(events: int, exposure: int) -> float:
    return events * log(events / exposure) if events and exposure else 0.0


def _merged(parts: Sequence[Segment]) -> tuple[Segment, ...]:
    told: list[Segment] = []
    for part in parts:
        if told and not _differ(told[-1].rate, part.rate):
            last = told.pop()
            told.append(Segment(last.begin, part.end, last.events + part.events, last.exposure + part.exposure))
        else:
            told.append(part)
    return tuple(told)


def _differ(one: float, other: float) -> bool:
    low, high = sorted((one, other))
    return high > _CLEAR * low
