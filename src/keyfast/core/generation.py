"""The life of a credential generation, as the server knows it, as one table.

A generation is one value of an account's password. When the directory says that the password was set
again, nobody knows yet whether to another value or to the same one: it is in question until it is
proven or refused. Restoring the old password brings an old generation back.

A rotation retires a generation by decision: it is refused for work and serves recovery only, whatever happens
to the password in the directory, until somebody trusts it again. Once it is destroyed only its number is left.
"""

from enum import StrEnum

from keyfast.core import machine


class GenerationState(StrEnum):
    """What is known of a generation."""

    PROVEN = "proven"
    IN_QUESTION = "in_question"
    REFUSED = "refused"
    RETIRED = "retired"
    DESTROYED = "destroyed"


class GenerationEvent(StrEnum):
    """What happens to a generation."""

    PASSWORD_SET = "password_set"  # noqa: S105 - a name: the directory's stamp of the password moved
    PROVED = "proved"
    DENIED = "denied"
    RETIRED = "retired"
    RETRUSTED = "retrusted"
    DESTROYED = "destroyed"


S, E = GenerationState, GenerationEvent

TABLE: dict[tuple[GenerationState, GenerationEvent], GenerationState] = {
    (S.PROVEN, E.PASSWORD_SET): S.IN_QUESTION,
    (S.IN_QUESTION, E.PASSWORD_SET): S.IN_QUESTION,
    (S.REFUSED, E.PASSWORD_SET): S.IN_QUESTION,
    (S.PROVEN, E.PROVED): S.PROVEN,
    (S.IN_QUESTION, E.PROVED): S.PROVEN,
    (S.REFUSED, E.PROVED): S.PROVEN,
    (S.IN_QUESTION, E.DENIED): S.REFUSED,
    (S.REFUSED, E.DENIED): S.REFUSED,
    (S.RETIRED, E.PASSWORD_SET): S.RETIRED,
    (S.DESTROYED, E.PASSWORD_SET): S.DESTROYED,
    **{(state, E.RETIRED): S.RETIRED for state in (S.PROVEN, S.IN_QUESTION, S.REFUSED, S.RETIRED)},
    (S.RETIRED, E.RETRUSTED): S.IN_QUESTION,
    (S.RETIRED, E.DESTROYED): S.DESTROYED,
    (S.DESTROYED, E.DESTROYED): S.DESTROYED,
}

GONE = frozenset({S.RETIRED, S.DESTROYED})
"""States in which a generation is refused for work by decision."""


def step(state: GenerationState, event: GenerationEvent) -> GenerationState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "credential generation", state, event)
