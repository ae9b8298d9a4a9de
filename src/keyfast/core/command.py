"""The life of a command to one endpoint, as one table.

It is signed and queued, offered with the answer to a check-in, received once the endpoint says that it
has it, and ends as applied or failed. What the endpoint never fetched in time expires; a newer command
of the same kind supersedes an older one that was not fetched yet, so that no queue is replayed in order.
"""

from enum import StrEnum

from keyfast.core import machine


class CommandState(StrEnum):
    """States of a command."""

    QUEUED = "queued"
    OFFERED = "offered"
    RECEIVED = "received"
    APPLIED = "applied"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


class CommandEvent(StrEnum):
    """What happens to a command."""

    OFFERED = "offered"
    RECEIVED = "received"
    APPLIED = "applied"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


S, E = CommandState, CommandEvent

TABLE: dict[tuple[CommandState, CommandEvent], CommandState] = {
    (S.QUEUED, E.OFFERED): S.OFFERED,
    (S.QUEUED, E.EXPIRED): S.EXPIRED,
    (S.QUEUED, E.SUPERSEDED): S.SUPERSEDED,
    (S.OFFERED, E.OFFERED): S.OFFERED,
    (S.OFFERED, E.RECEIVED): S.RECEIVED,
    (S.OFFERED, E.APPLIED): S.APPLIED,
    (S.OFFERED, E.FAILED): S.FAILED,
    (S.OFFERED, E.EXPIRED): S.EXPIRED,
    (S.OFFERED, E.SUPERSEDED): S.SUPERSEDED,
    (S.RECEIVED, E.APPLIED): S.APPLIED,
    (S.RECEIVED, E.FAILED): S.FAILED,
    (S.RECEIVED, E.EXPIRED): S.EXPIRED,
}

WAITING = frozenset({S.QUEUED, S.OFFERED})
"""States in which a command is still sent with answers."""


def step(state: CommandState, event: CommandEvent) -> CommandState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "command", state, event)


def from_states(event: CommandEvent) -> frozenset[CommandState]:
    """States in which ``event`` is possible, for a conditional write."""
    return frozenset(state for (state, happened) in TABLE if happened is event)
