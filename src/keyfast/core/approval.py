"""A second person for dangerous acts: one asks, another agrees, and the same request is made again, once.

What was agreed to is one request, to the letter (``digest``), of the one who asked. Times are unix seconds.
"""

from enum import StrEnum

import msgspec

from keyfast.core import machine
from keyfast.core.caller import Caller
from keyfast.core.role import Permission

ASKED_SECONDS = 24 * 3600
"""For so long somebody may agree."""
GIVEN_SECONDS = 3600
"""For so long what was agreed to may be done."""


class ApprovalState(StrEnum):
    """States of an approval."""

    ASKED = "asked"
    GIVEN = "given"
    DENIED = "denied"
    USED = "used"


class ApprovalEvent(StrEnum):
    """What happens to an approval."""

    GIVEN = "given"
    DENIED = "denied"
    USED = "used"


S, E = ApprovalState, ApprovalEvent

TABLE: dict[tuple[ApprovalState, ApprovalEvent], ApprovalState] = {
    (S.ASKED, E.GIVEN): S.GIVEN,
    (S.ASKED, E.DENIED): S.DENIED,
    (S.GIVEN, E.DENIED): S.DENIED,
    (S.GIVEN, E.USED): S.USED,
}
"""What nobody answers, or nobody uses, is over by its age."""


class Approval(msgspec.Struct, frozen=True):
    """One act that waits for a second person.

    Attributes:
        asked_by: name of the person who wants to do it.
        permission: what the act needs.
        what: method and path of the request.
        reason: why, in the asker's words.
    """

    id: str
    asked_at: int
    asked_by: str
    permission: Permission
    what: str
    reason: str
    state: ApprovalState = ApprovalState.ASKED
    decided_at: int = 0
    decided_by: str = ""


def step(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "approval", state, event)


def is_over(approval: Approval, now: int) -> bool:
    """Tell whether it is too old for whatever could happen to it next."""
    if approval.state is ApprovalState.ASKED:
        return not approval.asked_at <= now < approval.asked_at + ASKED_SECONDS
    return not approval.decided_at <= now < approval.decided_at + GIVEN_SECONDS


def decision_fault(approval: Approval, decider: Caller, now: int) -> str | None:
    """Say why somebody may not decide about it, None if they may."""
    if is_over(approval, now):
        return "it is too old; they have to ask anew"
    if decider.name == approval.asked_by:
        return "a second person has to decide, not the one who asks"
    if not decider.may(approval.permission):
        return f"deciding needs '{approval.permission}', as doing it does"
    return None


def use_fault(approval: Approval, user: Caller, permission: Permission, *, same: bool, now: int) -> str | None:
    """Say why a request may not be done by it, None if it may; ``same``: it is the one that was asked for."""
    if approval.state is ApprovalState.ASKED:
        return "nobody has agreed yet"
    if approval.state is not ApprovalState.GIVEN:
        return f"it is {approval.state}"
    if is_over(approval, now):
        return "it is too old; ask anew"
    if not same or user.name != approval.asked_by or permission is not approval.permission:
        return "it is for another request"
    return None
