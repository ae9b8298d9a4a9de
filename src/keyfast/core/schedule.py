"""When to speak next: server-chosen, jittered check-in times, and back-off that never stops trying.

All times are seconds. ``chance`` is a uniform random number in [0, 1), drawn by the caller.
"""

BACKOFF_BASE = 30.0
BACKOFF_CAP = 3600.0
SPREAD = 0.1


def next_check_in(interval: float, chance: float, spread: float = SPREAD) -> int:
    """Seconds until the next check-in: ``interval`` plus or minus ``spread`` of it."""
    return max(1, round(interval * (1 + spread * (2 * chance - 1))))


def backoff(failures: int, chance: float, base: float = BACKOFF_BASE, cap: float = BACKOFF_CAP) -> float:
    """Seconds to wait after ``failures`` (>= 1) failed tries in a row.

    Doubles up to the cap; the jitter is applied after the cap, so that a fleet that was down for a
    day does not come back in step: the result lies in [half, whole] of the capped delay.
    """
    delay = min(cap, base * 2.0 ** min(failures - 1, 32))
    return delay * (0.5 + 0.5 * chance)


def retry_after(asked: float, chance: float, spread: float = 0.25) -> float:
    """Honour a server's Retry-After: never earlier than asked, spread a little beyond it."""
    return asked * (1 + spread * chance)


def is_silent(seen_at: int, next_due: int, now: float) -> bool:
    """Tell whether an endpoint missed a whole check-in; one that never checked in (``seen_at`` 0) is not silent."""
    return seen_at > 0 and now > next_due + (next_due - seen_at)
