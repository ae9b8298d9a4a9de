"""How long a browser session lives: judged from times alone (unix seconds). An ended session is no row at all."""

from enum import StrEnum

import msgspec

IDLE = 30 * 60
ABSOLUTE = 12 * 3600
"""Seconds after which a session ends: without a request, and at all events."""
TOUCH = 60
"""So many seconds after the last note of a request the next one is noted: not every page writes."""


class Standing(StrEnum):
    """How a session stands."""

    LIVE = "live"
    IDLE = "idle"
    OVER = "over"


class Times(msgspec.Struct, frozen=True):
    """When a session began and was last used."""

    begun_at: int
    seen_at: int


def standing(times: Times, now: int) -> Standing:
    """Judge a session. A clock that went back makes none younger: before its beginning it is over."""
    if not times.begun_at <= now < times.begun_at + ABSOLUTE:
        return Standing.OVER
    return Standing.IDLE if now >= times.seen_at + IDLE else Standing.LIVE


def is_noted(times: Times, now: int) -> bool:
    """Tell whether a request at ``now`` need not be noted: one was, just before."""
    return times.seen_at <= now < times.seen_at + TOUCH
