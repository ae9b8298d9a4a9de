"""What explains a silence: the group whose silent share is far above that of all others, and when it began.

Endpoints fall silent every day. A silence is something to look into if many of a group missed their check-ins within
one interval (people go home one after another), or if what the group holds is known to be refused; if that is more than
is usual for the group at this hour; and if the others are not as silent. Of all groups of which that is so, that one is
named which explains the silence best by likelihood; of those that explain it about equally well, the most telling kind.
"""

from collections.abc import Collection, Mapping
from math import ceil, log

import msgspec

from keyfast.core.diagnosis.change_point import Segment, segments
from keyfast.core.roll_call import EVERYBODY, HORIZON_STEPS, OTHERS, STEP, Group, Key, Kind, everybody
from keyfast.core.schedule import SPREAD

FEWEST = 3
"""Endpoints that must have fallen silent together."""
EXCESS = 0.25
"""Share of a group that must be silent beyond what is usual, and beyond the others."""
SUDDEN = 0.5
"""Share of a group that must have missed its check-ins within one interval."""
_ONSET = 0.25
"""Missing check-ins at this rate per interval belong to the same beginning."""
_ALIKE = 0.9
"""Groups that explain so much of what the best one explains do so about equally well."""
_KINDS = tuple(kind for kind in Kind if kind is not Kind.REFUSAL)
"""What may be named. What an endpoint was refused for before its last check-in explains nothing after it."""


class Onset(msgspec.Struct, frozen=True):
    """The beginning of a silence.

    Attributes:
        at: from when check-ins were missed.
        width_s: how exactly that is known.
        count: endpoints that have fallen silent since.
        sudden: share of those that checked in until then who missed their check-in within the first interval.
    """

    at: int
    width_s: int
    count: int
    sudden: float


class Suspect(msgspec.Struct, frozen=True):
    """A group that explains a silence."""

    key: Key
    group: Group
    onset: Onset
    refused: bool


class Known(msgspec.Struct, frozen=True):
    """What is known beside the counts.

    Attributes:
        now: when the counts were made.
        interval_s: between two check-ins.
        usual: share of silent endpoints that is usual now, by group.
        refused: groups that hold what is known to be refused.
        under_way: groups that have an incident already.
        over: when the last incident of a group ended: what was missed before that opens no other.
    """

    now: int
    interval_s: int
    usual: Mapping[Key, float] = {}
    refused: Collection[Key] = frozenset()
    under_way: Collection[Key] = frozenset()
    over: Mapping[Key, int] = {}


def onset(group: Group, now: int, interval_s: int) -> Onset | None:
    """Find when a group fell silent, None if it did not do so at any one time.

    The hazard of missing a check-in is split where it changes; the beginning is where the part with the highest one
    begins, or the part before that if its hazard is high as well.
    """
    first, missed, alive = _series(group, now)
    if not missed:
        return None
    exposed = []
    for count in missed:
        exposed.append(alive)
        alive -= count
    parts = segments(missed, exposed)
    steps = max(1.0, interval_s / STEP)
    peak = max(range(len(parts)), key=lambda number: parts[number].rate)
    while peak > 0 and parts[peak - 1].rate * steps >= _ONSET:
        peak -= 1
    return _onset(first, parts[peak:], missed, exposed, interval_s)


def _onset(first: int, parts: tuple[Segment, ...], missed: list[int], exposed: list[int], interval_s: int) -> Onset:
    begin = next(step for step in range(parts[0].begin, len(missed)) if missed[step] or step == len(missed) - 1)
    count = sum(missed[begin:])
    within = sum(missed[begin : begin + ceil(interval_s * (1 + SPREAD) / STEP) + 1])
    width = max(STEP, interval_s // max(count, 1))
    return Onset((first + begin) * STEP, width, count, within / max(exposed[begin], 1))


def _series(group: Group, now: int) -> tuple[int, list[int], int]:
    """Return the first step, the missed check-ins from there on, and how many checked in until then.

    Those who have been silent for longer than a week are left out. Of the last steps not everybody who missed a
    check-in is known yet: their hazard looks smaller than it is, which moves no beginning.
    """
    horizon = now // STEP - HORIZON_STEPS
    known = {step: count for step, count in group.missed.items() if step > horizon}
    if not known:
        return 0, [], 0
    long = sum(group.missed.values()) - sum(known.values())
    # One step before: that nobody missed a check-in in it tells the first from the ones after it.
    first = min(known) - 1
    missed = [known.get(step, 0) for step in range(first, max(known) + 1)]
    return first, missed, group.judged - group.never - long


def explain(groups: Mapping[Key, Group], known: Known) -> Suspect | None:
    """Return the group that explains what is not explained yet, None if nothing has to be explained.

    If that is a group which has an incident already, it is that incident which grows again, and no other.
    """
    named = _named(_alike(groups, known))
    return None if named is None or named.key in known.under_way else named


def better(
    young: Collection[Key], groups: Mapping[Key, Group], afresh: Mapping[Key, Group], known: Known
) -> Suspect | None:
    """Return the group that explains better what young incidents explain, None if they have the best names.

    While endpoints still fall silent, the first few may have less in common than all of them will.

    Args:
        young: groups of the young incidents.
        groups: the counts.
        afresh: the same counts, had there been no young incidents.
        known: what is known beside them.
    """
    alike = _alike(afresh, known)
    named = _named(alike)
    if named is None or named.key not in groups or any(suspect.key in known.under_way for suspect in alike):
        return None
    theirs = sum(groups[key].own for key in young)
    covered = named.group.unexplained - groups[named.key].unexplained
    return named if 0 < theirs * _ALIKE <= covered else None


def _alike(groups: Mapping[Key, Group], known: Known) -> list[Suspect]:
    """Return the groups that explain the silence best; where what some hold is refused, of those."""
    judged = (_suspect(key, group, groups, known) for key, group in groups.items())
    found = [suspect for suspect in judged if suspect is not None]
    found = [suspect for suspect in found if suspect.refused] or found
    best = max((_gain(suspect.group, groups) for suspect in found), default=0.0)
    return [suspect for suspect in found if _gain(suspect.group, groups) >= best * _ALIKE]


def _named(alike: list[Suspect]) -> Suspect | None:
    return min(alike, key=_telling, default=None)


def _telling(suspect: Suspect) -> tuple[int, int, Key]:
    return _KINDS.index(suspect.key[0]), -suspect.onset.count, suspect.key


def _suspect(key: Key, group: Group, groups: Mapping[Key, Group], known: Known) -> Suspect | None:
    if key[0] not in _KINDS or key[1] == OTHERS:
        return None
    if group.unexplained < FEWEST or _share(group) - known.usual.get(key, 0.0) < EXCESS:
        return None
    refused = key in known.refused
    if key != EVERYBODY and not refused and not _stands_out(group, groups):
        return None
    began = onset(group, known.now, known.interval_s)
    if began is None or began.count < max(FEWEST, EXCESS * group.judged) or began.at < known.over.get(key, 0):
        return None
    return Suspect(key, group, began, refused) if refused or began.sudden >= SUDDEN else None


def _share(group: Group) -> float:
    return group.unexplained / group.judged if group.judged else 0.0


def _stands_out(group: Group, groups: Mapping[Key, Group]) -> bool:
    rest = _rest(group, groups)
    return rest.judged > 0 and _share(group) - _share(rest) >= EXCESS


def _rest(group: Group, groups: Mapping[Key, Group]) -> Group:
    every = everybody(groups)
    return Group(every.judged - group.judged, every.unexplained - group.unexplained)


def _gain(group: Group, groups: Mapping[Key, Group]) -> float:
    """How much likelier the silence is if this group has a share of its own."""
    rest = _rest(group, groups)
    return _likelihood(group) + _likelihood(rest) - _likelihood(everybody(groups))


def _likelihood(group: Group) -> float:
    silent, heard = group.unexplained, group.judged - group.unexplained
    return sum(count * log(count / group.judged) for count in (silent, heard) if count)
