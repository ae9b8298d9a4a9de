"""When an endpoint is switched on and in reach, as people use computers. Pure; times are virtual unix seconds."""

import random
from dataclasses import dataclass
from enum import StrEnum

HOUR = 3600
DAY = 24 * HOUR
WEEK = 7 * DAY
SETTLED = 5 * DAY
"""Nobody leaves before: what never joined while its package was good is no endpoint yet."""


class Habit(StrEnum):
    """Kinds of endpoints."""

    DESKTOP = "desktop"
    LAPTOP = "laptop"
    TRAVELLER = "traveller"
    DRAWER = "drawer"


MIX: tuple[tuple[Habit, float], ...] = (
    (Habit.DESKTOP, 0.3),
    (Habit.LAPTOP, 0.5),
    (Habit.TRAVELLER, 0.15),
    (Habit.DRAWER, 0.05),
)
"""Shares of a fleet."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """When one endpoint is in reach.

    Attributes:
        habit: its kind.
        opens: hour of the day from which a laptop is used.
        closes: hour of the day at which it sleeps.
        away: times (from, to) in which it is out of reach, in order.
    """

    habit: Habit
    opens: int
    closes: int
    away: tuple[tuple[int, int], ...] = ()

    def next_in_reach(self, at: float) -> float:
        """Return the first moment from ``at`` on at which it is in reach."""
        while True:
            absent = next((end for start, end in self.away if start <= at < end), None)
            moved = self._awake(at) if absent is None else float(absent)
            if moved == at:
                return at
            at = moved

    def _awake(self, at: float) -> float:
        if self.habit is Habit.DESKTOP:
            return at
        day = at - at % DAY
        weekday = int(day // DAY + 4) % 7  # the first of January 1970 was a Thursday
        opens, closes = day + self.opens * HOUR, day + self.closes * HOUR
        if weekday in (6, 0) or at >= closes:  # Saturday and Sunday are 6 and 0 counted from Sunday
            return day + DAY + self.opens * HOUR
        return max(at, opens)


def calendar(number: int, start: int, days: int, seed: int) -> Calendar:
    """Draw the calendar of endpoint ``number`` for a simulation of ``days`` from ``start``."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - a simulation that repeats itself
    habit = _drawn(chance.random())
    opens = chance.randint(7, 10)
    closes = chance.randint(15, 20)
    away: list[tuple[int, int]] = []
    if habit is Habit.TRAVELLER:
        at = start + chance.randint(SETTLED, 3 * WEEK)
        while at < start + days * DAY:
            end = at + chance.randint(WEEK, 4 * WEEK)
            away.append((at, end))
            at = end + chance.randint(WEEK, 6 * WEEK)
    if habit is Habit.DRAWER:
        at = start + chance.randint(SETTLED, max(SETTLED, days * DAY // 3))
        away.append((at, at + chance.randint(30 * DAY, 85 * DAY)))
    return Calendar(habit, opens, closes, tuple(away))


def _drawn(chance: float) -> Habit:
    for habit, share in MIX:
        if chance < share:
            return habit
        chance -= share
    return MIX[-1][0]
