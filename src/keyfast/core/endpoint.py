"""The life of an endpoint record, as one table.

An endpoint asks to join (``pending`` or ``registered``), proves that it saved the answer (``active``),
and stays. Suspicion of a clone is a state of its own in which it keeps checking in: locking it out
would strand the original. Only an administrator ends an identity, and may take that back. An agent that is
removed says farewell (``retired``): its record, its history and its recovery keys stay, nobody waits for it, and
its next check-in brings it back. Which of two suspected copies said farewell nobody knows, so that counts for none.
"""

from enum import StrEnum

from keyfast.core import machine


class EndpointState(StrEnum):
    """States of an endpoint record."""

    PENDING = "pending"
    REGISTERED = "registered"
    ACTIVE = "active"
    CLONE_SUSPECT = "clone_suspect"
    RETIRED = "retired"
    REVOKED = "revoked"


class EndpointEvent(StrEnum):
    """What happens to an endpoint record."""

    APPROVED = "approved"
    HELD = "held"
    PROVED = "proved"
    FORK_PROVEN = "fork_proven"
    CLEARED = "cleared"
    RETIRED = "retired"
    RETURNED = "returned"
    REVOKED = "revoked"
    REINSTATED = "reinstated"


S, E = EndpointState, EndpointEvent

DECISIONS: dict[str, EndpointEvent] = {
    "approve": E.APPROVED,
    "revoke": E.REVOKED,
    "reinstate": E.REINSTATED,
    "clear": E.CLEARED,
}
"""What a person may decide about an endpoint, by the word for it."""

TABLE: dict[tuple[EndpointState, EndpointEvent], EndpointState] = {
    (S.PENDING, E.APPROVED): S.REGISTERED,
    (S.PENDING, E.REVOKED): S.REVOKED,
    (S.REGISTERED, E.HELD): S.PENDING,
    (S.REGISTERED, E.PROVED): S.ACTIVE,
    (S.REGISTERED, E.REVOKED): S.REVOKED,
    (S.ACTIVE, E.PROVED): S.ACTIVE,
    (S.ACTIVE, E.FORK_PROVEN): S.CLONE_SUSPECT,
    (S.ACTIVE, E.RETIRED): S.RETIRED,
    (S.ACTIVE, E.REVOKED): S.REVOKED,
    (S.CLONE_SUSPECT, E.PROVED): S.CLONE_SUSPECT,
    (S.CLONE_SUSPECT, E.FORK_PROVEN): S.CLONE_SUSPECT,
    (S.CLONE_SUSPECT, E.CLEARED): S.ACTIVE,
    (S.CLONE_SUSPECT, E.RETIRED): S.CLONE_SUSPECT,
    (S.CLONE_SUSPECT, E.REVOKED): S.REVOKED,
    (S.RETIRED, E.FORK_PROVEN): S.CLONE_SUSPECT,
    (S.RETIRED, E.RETIRED): S.RETIRED,
    (S.RETIRED, E.RETURNED): S.ACTIVE,
    (S.RETIRED, E.REVOKED): S.REVOKED,
    (S.REVOKED, E.REINSTATED): S.ACTIVE,
}

WORKING = frozenset({S.ACTIVE, S.CLONE_SUSPECT})
"""States in which an endpoint is expected to check in."""
HEARD = WORKING | {S.RETIRED}
"""States in which a check-in of it is accepted."""


def step(state: EndpointState, event: EndpointEvent) -> EndpointState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "endpoint", state, event)
