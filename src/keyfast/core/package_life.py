"""The life of a package's record, as one table.

The record is there before the artefact is, so that whoever finds it after a crash knows what was under way;
its enrolment token works only from ``ready`` on.
"""

from enum import StrEnum

from keyfast.core import machine


class PackageState(StrEnum):
    """States of a package's record."""

    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"
    REVOKED = "revoked"


class PackageEvent(StrEnum):
    """What happens to a package's record."""

    BUILT = "built"
    FAILED = "failed"
    REVOKED = "revoked"


S, E = PackageState, PackageEvent

TABLE: dict[tuple[PackageState, PackageEvent], PackageState] = {
    (S.BUILDING, E.BUILT): S.READY,
    (S.BUILDING, E.FAILED): S.FAILED,
    (S.READY, E.REVOKED): S.REVOKED,
    (S.REVOKED, E.REVOKED): S.REVOKED,
}


def step(state: PackageState, event: PackageEvent) -> PackageState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "package", state, event)
