"""Judge a recovery check-in: who may be given an access back, who is taken back, who waits for a person.

It is subject to no logon and no access token: the device key is what outlives both. Who has proven nothing
is answered with the same words always, whichever endpoint id is named, unless a recovery window is open that
covers that endpoint; and even then the answer is of use to the endpoint alone.
"""

from enum import StrEnum

import msgspec

from keyfast.core.endpoint import WORKING, EndpointState
from keyfast.core.refusal import Refusal, RefusalClass


class Caller(StrEnum):
    """Who makes a recovery check-in, as far as it was proven."""

    CURRENT = "current"  # by an endpoint's device key
    SUPERSEDED = "superseded"  # by one of its former device keys
    RECEIPT = "receipt"  # by a key that is not on record, but is named in a receipt of this installation
    JOINING = "joining"  # by a key that is not on record, with a package's enrolment token
    STRANGER = "stranger"  # by a key that is not on record, with nothing
    ANONYMOUS = "anonymous"  # by nothing but an endpoint id


class Act(StrEnum):
    """What to do for the caller."""

    GIVE = "give"
    ADOPT = "adopt"
    HOLD = "hold"


class Call(msgspec.Struct, frozen=True):
    """A recovery check-in whose proofs were verified.

    Attributes:
        caller: who.
        state: of the record it is about, None if there is none.
        window: a recovery window is open that covers the endpoint.
        always: device keys recover at any time (setting ``recovery.device_key``), and not in a window only.
    """

    caller: Caller
    state: EndpointState | None
    window: bool
    always: bool


def judge(call: Call) -> Act | Refusal:
    """Judge; pure, so every cell of it is tested."""
    if call.caller is Caller.ANONYMOUS:
        return Act.GIVE if call.window and call.state in WORKING else Refusal(RefusalClass.UNAUTHENTICATED)
    if call.caller is Caller.STRANGER:
        return Refusal(
            RefusalClass.UNKNOWN_DEVICE,
            presented="a device key that is not on record, and no receipt",
            expected="a device key or a receipt of this installation",
            repair="keyfast package create",
        )
    if call.state is EndpointState.REVOKED:
        return Refusal(RefusalClass.REVOKED, presented="the device key of a revoked endpoint")
    if call.state is EndpointState.PENDING:
        return Refusal(RefusalClass.PENDING, "an administrator has not let it in yet")
    if not (call.always or call.window):
        return Refusal(
            RefusalClass.WINDOW_CLOSED,
            "this server lets endpoints recover only while a recovery window is open",
            expected="an open recovery window",
            repair="keyfast window open",
        )
    return _ACTS[call.caller]


def vouches(caller: Caller, *, recovering: bool) -> bool:
    """Tell whether the key that a caller proved may vouch for a new one: a former key in a recovery only.

    An image from before a renewal holds nothing but a former key, and would be stranded if that could not.
    """
    return caller is Caller.CURRENT or (recovering and caller is Caller.SUPERSEDED)


_ACTS = {
    Caller.CURRENT: Act.GIVE,
    Caller.SUPERSEDED: Act.GIVE,
    Caller.RECEIPT: Act.ADOPT,
    Caller.JOINING: Act.HOLD,
}
