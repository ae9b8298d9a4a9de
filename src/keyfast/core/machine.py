"""Run a lifecycle table: an unlisted pair raises, never passes silently."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from keyfast.errors import TransitionError

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def step(table: Mapping[tuple[State, Event], State], noun: str, state: State, event: Event) -> State:
    """Return the state that follows ``event`` in ``state``.

    Raises:
        TransitionError: the table has no such cell.
    """
    try:
        return table[state, event]
    except KeyError:
        raise TransitionError(f"{noun} in state '{state}' cannot be '{event}'") from None
