"""An incident: a silence with one cause, from its opening until what is usual is back.

It is judged after every roll call by the counts of its own group. It does not flap: what opens, falls, rises and ends
has thresholds of its own, and an end must be seen twice.
"""

from enum import StrEnum

import msgspec

from keyfast.core import machine
from keyfast.core.roll_call import NO_END, STEP, Explained, Group, Key, Kind
from keyfast.core.schedule import SPREAD
from keyfast.core.silence import Suspect

RECOVERED = 0.8
"""It recovers when fewer than this share of the most are silent."""
AGAIN = 0.2
"""It is open again when more than this share of the most fell silent anew."""
LEFT = 0.05
"""It is over when at most this share of the most is silent beyond what is usual."""
CALM = 2
"""Looks in a row that must find it over."""
BEFORE = 3600
"""Seconds before its beginning from which silence counts to it: the first are a few, and may be taken for chance."""
FALLING = 2 * (1 + SPREAD)
"""Intervals until everybody who fell silent at one time is known: the longest one, and as much time again."""
MOST_POINTS = 200
"""Points of its course that are kept; every second is dropped when there are more."""


class IncidentState(StrEnum):
    """States of an incident."""

    OPEN = "open"
    RECOVERING = "recovering"
    RESOLVED = "resolved"
    GIVEN_UP = "given_up"
    MERGED = "merged"


class IncidentEvent(StrEnum):
    """What happens to an incident."""

    FELL = "fell"
    ROSE = "rose"
    OVER = "over"
    GIVEN_UP = "given_up"
    MERGED = "merged"


S, E = IncidentState, IncidentEvent

TABLE: dict[tuple[IncidentState, IncidentEvent], IncidentState] = {
    (S.OPEN, E.FELL): S.RECOVERING,
    (S.OPEN, E.OVER): S.RESOLVED,
    (S.OPEN, E.GIVEN_UP): S.GIVEN_UP,
    (S.OPEN, E.MERGED): S.MERGED,
    (S.RECOVERING, E.ROSE): S.OPEN,
    (S.RECOVERING, E.OVER): S.RESOLVED,
    (S.RECOVERING, E.GIVEN_UP): S.GIVEN_UP,
}
ENDED = frozenset({S.RESOLVED, S.GIVEN_UP, S.MERGED})


class Point(msgspec.Struct, frozen=True):
    """How many were silent at a time."""

    at: int
    silent: int


class Incident(msgspec.Struct, frozen=True):
    """An incident. Times are unix seconds.

    Attributes:
        kind, name: what its endpoints have in common.
        began_at: from when check-ins were missed, within ``width_s``.
        changed_at: when it last entered its state.
        endpoints, silent: of its group now.
        most: silent at most.
        least: silent at least since it began to recover.
        calm: looks in a row that found it over.
        refused: what its group holds was known to be refused when it was opened.
        usual: share of its group that was usually silent when it was opened. Later hours have another: it is over
            when its endpoints are back, and not when they would be asleep.
        names: of some that are silent.
        course: how many were silent when.
    """

    id: str
    kind: Kind
    name: str
    state: IncidentState
    began_at: int
    width_s: int
    opened_at: int
    changed_at: int
    endpoints: int
    silent: int
    most: int
    least: int
    calm: int = 0
    refused: bool = False
    usual: float = 0.0
    names: tuple[str, ...] = ()
    course: tuple[Point, ...] = ()

    @property
    def key(self) -> Key:
        """Its group."""
        return (self.kind, self.name)

    @property
    def explains(self) -> Explained:
        """What it explains. Once endpoints come back, who falls silent anew may have another cause."""
        until = NO_END if self.state is IncidentState.OPEN else self.changed_at
        return Explained(self.key, self.began_at - self.width_s - BEFORE, until)

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED

    def is_young(self, interval_s: int, now: int) -> bool:
        """Tell whether its endpoints still fall silent, so that another group may turn out to explain it better."""
        return self.state is S.OPEN and now <= self.began_at + self.width_s + FALLING * interval_s + STEP


def step(state: IncidentState, event: IncidentEvent) -> IncidentState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "incident", state, event)


def opened(incident_id: str, suspect: Suspect, usual: float, now: int) -> Incident:
    """Open an incident of a group that explains a silence; ``usual`` is the share of it that is usually silent now."""
    group, (kind, name) = suspect.group, suspect.key
    silent = group.unexplained
    return Incident(
        incident_id,
        kind,
        name,
        S.OPEN,
        suspect.onset.at,
        suspect.onset.width_s,
        now,
        now,
        group.endpoints,
        silent,
        silent,
        silent,
        refused=suspect.refused,
        usual=usual,
        names=tuple(group.names),
        course=(Point(suspect.onset.at, 0), Point(now, silent)),
    )


def renamed(incident: Incident, suspect: Suspect, usual: float, now: int) -> Incident:
    """Return the incident with the group that explains its silence better; see ``opened``."""
    anew = opened(incident.id, suspect, usual, now)
    return msgspec.structs.replace(
        anew,
        opened_at=incident.opened_at,
        changed_at=incident.changed_at,
        most=max(anew.most, incident.most),
        course=_course(incident.course, Point(now, anew.silent)),
    )


def looked(incident: Incident, group: Group, now: int) -> tuple[Incident, IncidentEvent | None]:
    """Look at an incident that has not ended again, after another roll call; return it and what happened to it.

    Args:
        incident: as it was.
        group: its group now; empty if nobody is in it any more.
        now: when the roll call was made.
    """
    silent = group.own + group.unexplained
    beyond = silent - incident.usual * (group.endpoints - group.elsewhere)
    most = max(incident.most, silent)
    seen = msgspec.structs.replace(
        incident,
        endpoints=group.endpoints,
        silent=silent,
        most=most,
        least=min(incident.least, silent),
        calm=incident.calm + 1 if beyond <= LEFT * most else 0,
        names=tuple(group.names),
        course=_course(incident.course, Point(now, silent)),
    )
    event = _event(seen)
    return (happened(seen, event, now) if event else seen), event


def happened(incident: Incident, event: IncidentEvent, now: int) -> Incident:
    """Return the incident after something happened to it."""
    return msgspec.structs.replace(incident, state=step(incident.state, event), changed_at=now, least=incident.silent)


def _event(seen: Incident) -> IncidentEvent | None:
    if seen.calm >= CALM:
        return E.OVER
    if seen.state is S.OPEN and seen.silent < RECOVERED * seen.most:
        return E.FELL
    if seen.state is S.RECOVERING and seen.silent > seen.least + AGAIN * seen.most:
        return E.ROSE
    return None


def _course(course: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    if course and course[-1].silent == point.silent:
        return course
    kept = (*course, point)
    return kept if len(kept) <= MOST_POINTS else (*kept[:-1:2], point)
