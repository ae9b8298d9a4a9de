"""Judge a check-in: the sequence rule that is replay protection and fork detection in one.

The rules, in order, for a report whose proof has already been verified:

1. No record: ``unknown_device``. A record that does not work (pending, revoked): its class.
2. A token issued before the record's ``tokens_from`` was revoked: ``token_expired``.
3. A sequence number above the last accepted one is accepted. A lost answer only leaves a gap.
4. An equal or lower number with a valid resync grant (made for exactly this head) never occurs: the
   grant names the number to use. Without one it is refused as ``replayed`` and nothing is written;
   the refusal carries a grant, which only the holder of the device key can use, once.
5. A report that uses a grant forks the history: the head it displaces is remembered.
6. A report that says its last acknowledged report is the displaced head comes from the branch that
   was displaced: both branches live, so the endpoint is a ``clone_suspect``. Anything else that forks
   is an image that went back in time (``rolled_back``). Neither is locked out.
"""

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from keyfast.core import endpoint
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.refusal import Refusal, RefusalClass

NO_DIGEST = b""


class Fork(StrEnum):
    """How a history was found to have forked."""

    ROLLED_BACK = "rolled_back"
    CLONE = "clone"


class Standing(msgspec.Struct, frozen=True):
    """What the server holds of an endpoint on the hot path.

    Attributes:
        state: lifecycle state.
        seq: last accepted sequence number; 0 before the first check-in.
        head: SHA-256 of the last accepted body, empty before the first.
        displaced: head that the last fork displaced, empty if none.
        inventory_digest: SHA-256 of the inventory on record, empty if none.
        tokens_from: access tokens issued before this server time (unix seconds) are void.
        commands: how many commands wait for delivery.
        seen_at: when it last checked in (unix seconds).
        heard_hours, heard_days: in which hours and days it did (``core.attendance``).
    """

    state: EndpointState
    seq: int = 0
    head: bytes = NO_DIGEST
    displaced: bytes = NO_DIGEST
    inventory_digest: bytes = NO_DIGEST
    tokens_from: int = 0
    commands: int = 0
    seen_at: int = 0
    heard_hours: int = 0
    heard_days: int = 0


class Grant(msgspec.Struct, frozen=True):
    """Permission to continue above a given head, once: it is void as soon as the head moves."""

    seq: int
    """The sequence number to use: the head's plus one."""


class Report(msgspec.Struct, frozen=True):
    """What a verified check-in says, as far as the verdict depends on it.

    Attributes:
        seq: sequence number presented.
        digest: SHA-256 of the body.
        acked: digest of the last report this endpoint knows to be accepted; empty on the first.
        inventory_digest: SHA-256 of the inventory as the endpoint has it now.
        inventory_enclosed: the full inventory travels with this report.
        token_issued_at: server time at which the access token was issued.
        grant: a verified resync grant, if the proof carried one.
        farewell: the agent is being removed.
    """

    seq: int
    digest: bytes
    acked: bytes
    inventory_digest: bytes
    inventory_enclosed: bool
    token_issued_at: int
    grant: Grant | None = None
    farewell: bool = False


class Accepted(msgspec.Struct, frozen=True):
    """The report is accepted once ``standing`` is durably on record.

    Attributes:
        standing: the record after this report.
        send_inventory: the server does not know this inventory and wants it in full next time.
        inventory_changed: the enclosed inventory is new and goes into the history.
        fork: set when this report forked the history or proved a clone.
    """

    standing: Standing
    send_inventory: bool
    inventory_changed: bool
    fork: Fork | None = None


_NOT_WORKING = {
    EndpointState.PENDING: RefusalClass.PENDING,
    EndpointState.REGISTERED: RefusalClass.TOKEN_EXPIRED,
    EndpointState.REVOKED: RefusalClass.REVOKED,
}


def judge(standing: Standing | None, report: Report) -> Accepted | Refusal:
    """Judge ``report`` against ``standing``; pure, so every cell of it is tested."""
    refusal = _may_not_speak(standing, report)
    if refusal is not None or standing is None:
        return refusal or Refusal(RefusalClass.UNKNOWN_DEVICE)
    if report.seq <= standing.seq:
        return Refusal(
            RefusalClass.REPLAYED,
            "this sequence number is not above the last one accepted",
            presented=f"sequence number {report.seq}",
            expected=f"sequence number {standing.seq + 1} with the nonce of this answer",
            extra={"expected_seq": standing.seq + 1},
        )
    fork = _fork(standing, report)
    known = report.inventory_digest == standing.inventory_digest
    return Accepted(
        standing=replace(
            standing,
            state=_state_after(standing.state, report, fork),
            seq=report.seq,
            head=report.digest,
            displaced=standing.head if fork else standing.displaced,
            inventory_digest=report.inventory_digest if report.inventory_enclosed else standing.inventory_digest,
        ),
        send_inventory=not known and not report.inventory_enclosed,
        inventory_changed=not known and report.inventory_enclosed,
        fork=fork,
    )


def _state_after(state: EndpointState, report: Report, fork: Fork | None) -> EndpointState:
    if fork is Fork.CLONE:
        return endpoint.step(state, EndpointEvent.FORK_PROVEN)
    if report.farewell:
        return endpoint.step(state, EndpointEvent.RETIRED)
    return endpoint.step(state, EndpointEvent.RETURNED) if state is EndpointState.RETIRED else state


def _may_not_speak(standing: Standing | None, report: Report) -> Refusal | None:
    if standing is None:
        return Refusal(RefusalClass.UNKNOWN_DEVICE, expected="an endpoint id this server enrolled")
    if standing.state not in endpoint.HEARD:
        return Refusal(_NOT_WORKING[standing.state], presented=f"an endpoint in state '{standing.state}'")
    if report.token_issued_at < standing.tokens_from:
        return Refusal(
            RefusalClass.TOKEN_EXPIRED,
            "the access token was revoked",
            presented="an access token issued before the revocation",
            expected="a token from /oauth/token, asked for with the device key",
        )
    return None


def _fork(standing: Standing, report: Report) -> Fork | None:
    if standing.displaced and report.acked == standing.displaced:
        return Fork.CLONE
    if report.grant is not None and report.grant.seq == standing.seq + 1 == report.seq and standing.seq > 0:
        return Fork.ROLLED_BACK
    return None
