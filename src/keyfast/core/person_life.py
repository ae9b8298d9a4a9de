"""The life of a person in this installation, as one table."""

from enum import StrEnum

from keyfast.core import machine


class PersonState(StrEnum):
    """States of a person."""

    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


class PersonEvent(StrEnum):
    """What happens to a person."""

    JOINED = "joined"
    RESET = "reset"
    DISABLED = "disabled"
    ENABLED = "enabled"


S, E = PersonState, PersonEvent

TABLE: dict[tuple[PersonState, PersonEvent], PersonState] = {
    (S.INVITED, E.JOINED): S.ACTIVE,
    (S.INVITED, E.RESET): S.INVITED,
    (S.INVITED, E.DISABLED): S.DISABLED,
    (S.ACTIVE, E.RESET): S.INVITED,
    (S.ACTIVE, E.DISABLED): S.DISABLED,
    (S.DISABLED, E.ENABLED): S.INVITED,
}
"""``joined``: they took up an invitation and chose a password. ``reset``: password and second factor are void, and
there is a new invitation. Who was switched off comes back by an invitation too: nobody knows who knows the password."""


def step(state: PersonState, event: PersonEvent) -> PersonState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "person", state, event)
