"""How far one endpoint of a recovery window has come, as one table.

At first it is ``unreached``. It asks for recovery (``reached``), takes the new access and the server sees
its probe pass (``applied``), and then checks in with it (``proven``). One that goes back, or whose change
failed, is reached and no more. One that works again without any change is proven at once.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from keyfast.core import machine
from keyfast.core.command import CommandState


class WindowEndpointState(StrEnum):
    """States of an endpoint in a recovery window, from nothing to back."""

    UNREACHED = "unreached"
    REACHED = "reached"
    APPLIED = "applied"
    PROVEN = "proven"


class WindowEndpointEvent(StrEnum):
    """What happens to an endpoint in a recovery window."""

    ASKED = "asked"
    APPLIED = "applied"
    PROVED = "proved"
    FELL_BACK = "fell_back"


S, E = WindowEndpointState, WindowEndpointEvent

TABLE: dict[tuple[WindowEndpointState, WindowEndpointEvent], WindowEndpointState] = {
    (S.UNREACHED, E.ASKED): S.REACHED,
    (S.REACHED, E.ASKED): S.REACHED,
    (S.APPLIED, E.ASKED): S.APPLIED,
    (S.PROVEN, E.ASKED): S.REACHED,  # it would not ask if what it has still worked
    **{(state, E.APPLIED): S.APPLIED for state in (S.UNREACHED, S.REACHED, S.APPLIED)},
    **{(state, E.PROVED): S.PROVEN for state in S},
    **{(state, E.FELL_BACK): S.REACHED for state in S},
}

PROVEN_COMMANDS = frozenset({CommandState.APPLIED, CommandState.VERIFIED})
"""States of a change whose endpoint committed to it."""
_FALLEN = frozenset({CommandState.FAILED, CommandState.REVERTED})


def step(state: WindowEndpointState, event: WindowEndpointEvent) -> WindowEndpointState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "endpoint of a recovery window", state, event)


def from_states(event: WindowEndpointEvent) -> frozenset[WindowEndpointState]:
    """States that ``event`` changes, for a conditional write."""
    return frozenset(before for (before, happened), after in TABLE.items() if happened is event and after is not before)


class Sign(msgspec.Struct, frozen=True):
    """What is on record of an endpoint since the window opened. Times are unix seconds.

    Attributes:
        seen_at: last accepted check-in, 0 for none.
        sound: what it holds, as it told then, is accepted today.
        change: state of its newest change of the web access server that moved since, None without one.
        changed_at: when that state came.
    """

    seen_at: int
    sound: bool
    change: CommandState | None = None
    changed_at: int = 0


def derived(sign: Sign, opened_at: int) -> WindowEndpointEvent | None:
    """What the record says happened to an endpoint, None if it says nothing."""
    if sign.change in PROVEN_COMMANDS:
        return E.PROVED if sign.seen_at >= sign.changed_at else E.APPLIED
    if sign.change is CommandState.PROVEN:
        return E.APPLIED
    if sign.sound and sign.seen_at > opened_at:
        return E.PROVED
    return E.FELL_BACK if sign.change in _FALLEN else None


class Counts(msgspec.Struct, frozen=True):
    """Endpoints of a recovery window by state."""

    unreached: int = 0
    reached: int = 0
    applied: int = 0
    proven: int = 0

    @property
    def unproven(self) -> int:
        """Those that are missing still."""
        return self.unreached + self.reached + self.applied

    @property
    def total(self) -> int:
        """All of them."""
        return self.unproven + self.proven


def counts(by_state: Mapping[WindowEndpointState, int]) -> Counts:
    """Build the counts from what the store counted."""
    return Counts(**{state.value: by_state.get(state, 0) for state in S})
