"""The life of a command to one endpoint, as one table.

It is signed and queued, offered with the answer to a check-in, received once the endpoint says that it
has it, and ends as applied or failed. What the endpoint never fetched in time expires; a newer command
of the same kind supersedes an older one that was not fetched yet, so that no queue is replayed in order.

A change of the web access server goes further. A rotation plans it for every endpoint and queues it wave
by wave; the endpoint stages it (``received``), tries the new access (``proven``, as the server saw it),
commits to it (``applied``), and after a restart and some good check-ins it is ``verified``, or the
endpoint went back by itself (``reverted``). An endpoint that was waived may still come back and take it.
"""

from enum import StrEnum

from keyfast.core import machine


class CommandState(StrEnum):
    """States of a command."""

    PLANNED = "planned"
    QUEUED = "queued"
    OFFERED = "offered"
    RECEIVED = "received"
    PROVEN = "proven"
    APPLIED = "applied"
    VERIFIED = "verified"
    REVERTED = "reverted"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WAIVED = "waived"


class CommandEvent(StrEnum):
    """What happens to a command."""

    RELEASED = "released"
    RECALLED = "recalled"
    OFFERED = "offered"
    RECEIVED = "received"
    PROVEN = "proven"
    APPLIED = "applied"
    VERIFIED = "verified"
    REVERTED = "reverted"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WAIVED = "waived"


S, E = CommandState, CommandEvent

# An endpoint may have fetched what was recalled or waived since, and acts on it.
_FETCHED = (S.OFFERED, S.RECEIVED, S.PROVEN, S.PLANNED, S.WAIVED)

TABLE: dict[tuple[CommandState, CommandEvent], CommandState] = {
    (S.PLANNED, E.RELEASED): S.QUEUED,
    (S.PLANNED, E.SUPERSEDED): S.SUPERSEDED,
    (S.QUEUED, E.OFFERED): S.OFFERED,
    (S.QUEUED, E.RECALLED): S.PLANNED,
    (S.QUEUED, E.EXPIRED): S.EXPIRED,
    (S.QUEUED, E.SUPERSEDED): S.SUPERSEDED,
    (S.OFFERED, E.OFFERED): S.OFFERED,
    (S.OFFERED, E.RECALLED): S.PLANNED,
    (S.OFFERED, E.EXPIRED): S.EXPIRED,
    (S.OFFERED, E.SUPERSEDED): S.SUPERSEDED,
    (S.RECEIVED, E.EXPIRED): S.EXPIRED,
    **{(state, E.RECEIVED): S.RECEIVED for state in (S.OFFERED, S.PLANNED, S.WAIVED)},
    **{(state, E.PROVEN): S.PROVEN for state in _FETCHED},
    **{(state, E.APPLIED): S.APPLIED for state in _FETCHED},
    **{(state, E.FAILED): S.FAILED for state in _FETCHED},
    (S.APPLIED, E.VERIFIED): S.VERIFIED,
    (S.PROVEN, E.REVERTED): S.REVERTED,
    (S.APPLIED, E.REVERTED): S.REVERTED,
    **{(state, E.RELEASED): S.QUEUED for state in (S.FAILED, S.REVERTED, S.EXPIRED)},
    **{
        (state, E.WAIVED): S.WAIVED
        for state in (S.PLANNED, S.QUEUED, S.OFFERED, S.RECEIVED, S.FAILED, S.REVERTED, S.EXPIRED)
    },
}

WAITING = frozenset({S.QUEUED, S.OFFERED})
"""States in which a command is still sent with answers."""

AGAIN: dict[CommandState, tuple[CommandEvent, ...]] = {
    S.PLANNED: (E.RELEASED, E.OFFERED),
    S.QUEUED: (E.OFFERED,),
    S.OFFERED: (E.OFFERED,),
    S.RECEIVED: (E.FAILED, E.RELEASED, E.OFFERED),
    S.PROVEN: (E.FAILED, E.RELEASED, E.OFFERED),
    S.APPLIED: (E.REVERTED, E.RELEASED, E.OFFERED),
    S.REVERTED: (E.RELEASED, E.OFFERED),
    S.FAILED: (E.RELEASED, E.OFFERED),
    S.EXPIRED: (E.RELEASED, E.OFFERED),
    S.WAIVED: (),
}
"""What happens to a change that an endpoint is given (again) because it does not have what the change brought."""


def step(state: CommandState, event: CommandEvent) -> CommandState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "command", state, event)


def offered_again(state: CommandState) -> CommandState:
    """Return the state of a change that is given (again) in ``state``, which is one of ``AGAIN``."""
    for event in AGAIN[state]:
        state = step(state, event)
    return state


def credited(brought_by: CommandState | None, *, restart_proof: bool) -> CommandState | None:
    """Return the state of a queued change that an endpoint need not be given, since it uses what it brings already.

    None: it is to be given all the same. An endpoint that may still make another change would leave what it
    uses now, and a rotation that wants to see a restart sees none where nothing is made.

    Args:
        brought_by: state of the endpoint's newest other change, None if it never had one.
        restart_proof: the change counts for its rotation only once its endpoint was restarted.
    """
    if brought_by is S.VERIFIED:
        events: tuple[CommandEvent, ...] = (E.OFFERED, E.APPLIED, E.VERIFIED)
    elif brought_by in {None, S.APPLIED} and not restart_proof:
        events = (E.OFFERED, E.APPLIED)
    else:
        return None
    state = S.QUEUED
    for event in events:
        state = step(state, event)
    return state


def from_states(event: CommandEvent) -> frozenset[CommandState]:
    """States in which ``event`` is possible, for a conditional write."""
    return frozenset(state for (state, happened) in TABLE if happened is event)
