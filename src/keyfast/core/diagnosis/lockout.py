"""When silent machines are locked for lack of contact, by a policy that allows so many days. Times are unix seconds."""

from collections.abc import Mapping

import msgspec

from keyfast.core.account import DAY


class Day(msgspec.Struct, frozen=True):
    """What becomes locked within a day.

    Attributes:
        at: when the first of them is.
        machines: how many are locked within the 24 hours from now on that ``at`` is in.
        total: how many are locked by the end of these 24 hours, with all before.
    """

    at: int
    machines: int
    total: int


class Lockouts(msgspec.Struct, frozen=True):
    """What becomes of the machines of a group if none of them is heard any more.

    Attributes:
        after_days: days without contact that the policy allows.
        locked: machines whose time is over.
        days: those that follow, by day, the next one first.
        unknown: machines whose last check-in is not known.
        latest: when the last of the unknown is locked at the latest, 0 if that cannot be told.
    """

    after_days: int
    locked: int
    days: tuple[Day, ...]
    unknown: int
    latest: int = 0

    @property
    def next_at(self) -> int | None:
        """When the next machine is locked, as far as that can be told; None if it cannot."""
        return self.days[0].at if self.days else self.latest or None

    def locked_at(self, seen_at: int) -> int:
        """When a machine is locked that was last heard at ``seen_at``."""
        return _locked_at(seen_at, self.after_days)


def _locked_at(seen_at: int, after_days: int) -> int:
    return seen_at + after_days * DAY


def lockouts(seen: Mapping[int, int], machines: int, since: int | None, after_days: int, now: int) -> Lockouts:
    """Forecast the lockouts of a group.

    Args:
        seen: machines by the moment of their last check-in.
        machines: of the group; those that are not in ``seen`` are unknown.
        since: when the group fell silent, as far as it is known: nobody checked in after it.
        after_days: days without contact that the policy allows.
        now: the present.
    """
    locked = 0
    firsts: dict[int, int] = {}
    counts: dict[int, int] = {}
    for at, count in sorted((_locked_at(moment, after_days), count) for moment, count in seen.items()):
        if at <= now:
            locked += count
        else:
            day = (at - now - 1) // DAY
            firsts.setdefault(day, at)
            counts[day] = counts.get(day, 0) + count
    total = locked
    days = []
    for day, at in firsts.items():
        total += counts[day]
        days.append(Day(at, counts[day], total))
    unknown = max(machines - total, 0)
    latest = _locked_at(since, after_days) if since and unknown else 0
    return Lockouts(after_days, locked, tuple(days), unknown, latest)
