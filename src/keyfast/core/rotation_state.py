"""A rotation at one moment: its phase, and what it has come to. Times are unix seconds."""

from enum import StrEnum

import msgspec

from keyfast.core.rotation_evidence import Tolerated
from keyfast.core.rotation_plan import Plan


class RotationState(StrEnum):
    """Phases of a rotation."""

    DRAFT = "draft"
    PREPARED = "prepared"
    TRUSTED = "trusted"
    CANARY = "canary"
    ROLLING = "rolling"
    DRAINING = "draining"
    REFUSED = "refused"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    EMERGENCY = "emergency"
    ABANDONED = "abandoned"


class RotationEvent(StrEnum):
    """What happens to a rotation."""

    APPROVED = "approved"
    STARTED = "started"
    TRUSTED = "trusted"
    OFFERED = "offered"
    WIDENED = "widened"
    CONVERGED = "converged"
    EXTENDED = "extended"
    SIGNED_ANEW = "signed_anew"
    PAUSED = "paused"
    RESUMED = "resumed"
    HASTENED = "hastened"
    RETIRED = "retired"
    RETRUSTED = "retrusted"
    FINISHED = "finished"
    ROLLED_BACK = "rolled_back"
    RETURNED = "returned"
    ABANDONED = "abandoned"


class Facts(msgspec.Struct, frozen=True):
    """What effects have brought about.

    Attributes:
        targets: endpoints that it is to move.
        waves: in how many waves.
        longest_gap_s: longest time without a check-in among them when they were listed.
        profile_seq, profile_epoch: access profile signed for it, 0 if it needs none.
        generation: credential generation of the target account.
        old_seq: access profile that was in force before it.
        back_seq: access profile signed to undo it, 0 if none.
        back_generation: credential generation of the source account that it goes back to.
    """

    targets: int = 0
    waves: int = 0
    longest_gap_s: int = 0
    profile_seq: int = 0
    profile_epoch: int = 0
    generation: int = 0
    old_seq: int = 0
    back_seq: int = 0
    back_generation: int = 0


class Rotation(msgspec.Struct, frozen=True):
    """A rotation.

    Attributes:
        since: when this phase began.
        approvals: names of those who agreed.
        wave: highest wave released, from 1.
        wave_at: when that was decided.
        paused: why it is paused, empty if it is not.
        moved: endpoints that had committed when that number last changed,
        moved_at: and when that was.
        started_bad: wrong passwords counted when the first endpoints were offered the change.
        tolerated: what an operator has seen and accepted.
    """

    plan: Plan
    state: RotationState = RotationState.DRAFT
    since: int = 0
    approvals: tuple[str, ...] = ()
    wave: int = 0
    wave_at: int = 0
    paused: str = ""
    moved: int = 0
    moved_at: int = 0
    started_bad: int = 0
    tolerated: Tolerated = Tolerated()
    facts: Facts = Facts()


S = RotationState

OFFERING = frozenset({S.CANARY, S.ROLLING, S.EMERGENCY})
"""Phases in which endpoints are being moved."""
EXCLUSIVE = frozenset({S.PREPARED, S.TRUSTED, S.DRAINING, S.ROLLING_BACK}) | OFFERING
"""Phases in which no other rotation may touch the same endpoints."""
ENDED = frozenset({S.DONE, S.ABANDONED})
IN_EFFECT = frozenset({S.DRAINING, S.REFUSED, S.DONE}) | OFFERING
"""Phases in which its content is what its targets are to have."""
