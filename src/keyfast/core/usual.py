"""What silence is usual for a group: its share of silent endpoints at each hour of the week, learnt as time passes.

Laptops sleep at the weekend, and an office that is dark at night is no outage. Hours are counted in UTC; a change of
daylight saving is learnt like anything else.
"""

from collections.abc import Sequence

HOURS = 168
UNKNOWN = -1
SCALE = 1000
_DAY = 24
_WEIGHT = 0.1
"""How much one pass counts: those of an hour together some seven tenths."""


def hour_of_week(now: int) -> int:
    """Return the hour of the week, 0 to 167, at a time in unix seconds."""
    return now // 3600 % HOURS


def learnt(usual: Sequence[int], hour: int, silent: int, endpoints: int) -> list[int]:
    """Return what is known after one more look; shares are kept in thousandths."""
    found = list(usual) if len(usual) == HOURS else [UNKNOWN] * HOURS
    if endpoints <= 0:
        return found
    share, before = silent / endpoints * SCALE, found[hour]
    found[hour] = round(share if before == UNKNOWN else before + (share - before) * _WEIGHT)
    return found


def expected(usual: Sequence[int], hour: int) -> float:
    """Return the share of silent endpoints that is usual at an hour, 0 to 1.

    Of an hour that was never seen: the most that was seen at the same hour of another day, else none.
    """
    if len(usual) != HOURS:
        return 0.0
    if usual[hour] != UNKNOWN:
        return usual[hour] / SCALE
    return max(0, *(usual[other] for other in range(hour % _DAY, HOURS, _DAY))) / SCALE
