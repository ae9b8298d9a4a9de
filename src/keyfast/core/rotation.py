"""The life of a rotation, as one table, and the step that takes it on.

``step`` takes a rotation through an event if nothing stands against it (``core.rotation_guards``) and says what is to
be done, as data. Effects are written down with the decision and done afterwards; each may be done twice.
``due`` says what happens by itself. Taking away is the only step that can strand, and never happens by itself.
"""

from msgspec.structs import replace

from keyfast.core import machine
from keyfast.core.rotation_effects import Effect, decided
from keyfast.core.rotation_evidence import MOVED, Evidence
from keyfast.core.rotation_guards import GUARDS
from keyfast.core.rotation_pauses import reason_to_pause, tolerated
from keyfast.core.rotation_state import OFFERING, Rotation, RotationEvent, RotationState
from keyfast.errors import ConflictError

S, E = RotationState, RotationEvent

TABLE: dict[tuple[RotationState, RotationEvent], RotationState] = {
    (S.DRAFT, E.APPROVED): S.DRAFT,
    (S.DRAFT, E.STARTED): S.PREPARED,
    (S.DRAFT, E.ABANDONED): S.ABANDONED,
    (S.PREPARED, E.TRUSTED): S.TRUSTED,
    (S.PREPARED, E.HASTENED): S.EMERGENCY,
    (S.PREPARED, E.ABANDONED): S.ABANDONED,
    (S.TRUSTED, E.OFFERED): S.CANARY,
    (S.TRUSTED, E.SIGNED_ANEW): S.TRUSTED,
    (S.TRUSTED, E.ABANDONED): S.ABANDONED,
    (S.CANARY, E.WIDENED): S.ROLLING,
    (S.CANARY, E.CONVERGED): S.DRAINING,
    (S.CANARY, E.PAUSED): S.CANARY,
    (S.CANARY, E.RESUMED): S.CANARY,
    (S.CANARY, E.SIGNED_ANEW): S.CANARY,
    (S.CANARY, E.HASTENED): S.EMERGENCY,
    (S.CANARY, E.ROLLED_BACK): S.ROLLING_BACK,
    (S.ROLLING, E.WIDENED): S.ROLLING,
    (S.ROLLING, E.CONVERGED): S.DRAINING,
    (S.ROLLING, E.PAUSED): S.ROLLING,
    (S.ROLLING, E.RESUMED): S.ROLLING,
    (S.ROLLING, E.SIGNED_ANEW): S.ROLLING,
    (S.ROLLING, E.HASTENED): S.EMERGENCY,
    (S.ROLLING, E.ROLLED_BACK): S.ROLLING_BACK,
    (S.EMERGENCY, E.CONVERGED): S.DRAINING,
    (S.EMERGENCY, E.PAUSED): S.EMERGENCY,
    (S.EMERGENCY, E.RESUMED): S.EMERGENCY,
    (S.EMERGENCY, E.SIGNED_ANEW): S.EMERGENCY,
    (S.EMERGENCY, E.RETIRED): S.REFUSED,
    (S.EMERGENCY, E.ROLLED_BACK): S.ROLLING_BACK,
    (S.DRAINING, E.EXTENDED): S.DRAINING,
    (S.DRAINING, E.SIGNED_ANEW): S.DRAINING,
    (S.DRAINING, E.RETIRED): S.REFUSED,
    (S.DRAINING, E.FINISHED): S.DONE,
    (S.DRAINING, E.ROLLED_BACK): S.ROLLING_BACK,
    (S.REFUSED, E.SIGNED_ANEW): S.REFUSED,
    (S.REFUSED, E.RETRUSTED): S.DRAINING,
    (S.REFUSED, E.FINISHED): S.DONE,
    (S.REFUSED, E.ROLLED_BACK): S.ROLLING_BACK,
    (S.ROLLING_BACK, E.RETURNED): S.ABANDONED,
}

BY_ITSELF: dict[RotationState, tuple[RotationEvent, ...]] = {
    S.PREPARED: (E.HASTENED, E.TRUSTED),
    S.TRUSTED: (E.SIGNED_ANEW, E.OFFERED),
    S.CANARY: (E.SIGNED_ANEW, E.WIDENED, E.CONVERGED),
    S.ROLLING: (E.SIGNED_ANEW, E.WIDENED, E.CONVERGED),
    S.EMERGENCY: (E.SIGNED_ANEW, E.CONVERGED),
    S.DRAINING: (E.SIGNED_ANEW, E.EXTENDED),
    S.REFUSED: (E.SIGNED_ANEW,),
    S.ROLLING_BACK: (E.RETURNED,),
}
"""What happens without an operator, as soon as nothing stands against it."""


def why_not(rotation: Rotation, event: RotationEvent, evidence: Evidence, now: int) -> tuple[str, ...]:
    """Return everything that stands against ``event``; empty if it may happen.

    Raises:
        TransitionError: it can never happen in this phase.
    """
    machine.step(TABLE, "rotation", rotation.state, event)
    guards = GUARDS.get((rotation.state, event), ())
    return tuple(reason for guard in guards if (reason := guard(rotation, evidence, now)))


def step(
    rotation: Rotation, event: RotationEvent, evidence: Evidence, now: int, *, by: str = "", reason: str = ""
) -> tuple[Rotation, tuple[Effect, ...]]:
    """Take ``rotation`` through ``event``.

    Args:
        rotation: as it is.
        event: what happens.
        evidence: what is known now.
        now: unix seconds.
        by: who approves.
        reason: why it is paused.

    Returns:
        The rotation afterwards, and what is to be done, in order.

    Raises:
        TransitionError: it can never happen in this phase.
        ConflictError: something stands against it; the message is the first such sentence.
    """
    against = why_not(rotation, event, evidence, now)
    if against:
        raise ConflictError(f"the rotation cannot be '{event}': {against[0]}")
    state = TABLE[rotation.state, event]
    after = replace(rotation, state=state, since=now if state is not rotation.state else rotation.since)
    after = _marked(after, event, evidence, now, by, reason)
    return after, decided(rotation, event, after)


def _marked(after: Rotation, event: RotationEvent, evidence: Evidence, now: int, by: str, reason: str) -> Rotation:
    """Note what an event leaves behind in the rotation itself."""
    changes: dict[RotationEvent, dict[str, object]] = {
        E.APPROVED: {"approvals": tuple(dict.fromkeys((*after.approvals, by)))},
        E.OFFERED: {"wave": 1, "wave_at": now, "started_bad": evidence.bad_passwords},
        E.WIDENED: {"wave": after.wave + 1, "wave_at": now},
        E.HASTENED: {"wave": after.facts.waves, "wave_at": now},
        E.PAUSED: {"paused": reason},
        E.RESUMED: {"paused": "", "wave_at": now, "tolerated": tolerated(evidence)},
        E.ROLLED_BACK: {"paused": ""},
    }
    return replace(after, **changes.get(event, {}))


def due(rotation: Rotation, evidence: Evidence, now: int) -> tuple[RotationEvent, str] | None:
    """Return what happens by itself now, with the reason if it is a pause; None for nothing."""
    if rotation.state in OFFERING and not rotation.paused and (reason := reason_to_pause(rotation, evidence)):
        return E.PAUSED, reason
    for event in BY_ITSELF.get(rotation.state, ()):
        if not why_not(rotation, event, evidence, now):
            return event, ""
    return None


def observe(rotation: Rotation, evidence: Evidence, now: int) -> Rotation:
    """Note when the number of endpoints that have moved last changed: since then nobody used the old access."""
    moved = evidence.number(MOVED)
    return rotation if moved == rotation.moved else replace(rotation, moved=moved, moved_at=now)
