"""Why a package lets somebody not in, from the refusal that was given: pure, exact enough to act on."""

from dataclasses import dataclass
from enum import StrEnum

from keyfast.core.generation import GenerationState
from keyfast.core.refusal import Refusal, RefusalClass

NOT_ON_RECORD = "this enrolment token is not on record"
"""Detail of the refusal of a token that this server has forgotten, or never knew."""


class Reason(StrEnum):
    """What is wrong with a package that was refused."""

    TAMPERED = "tampered"
    FOREIGN = "foreign"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    NOT_LISTED = "not_listed"
    MODE_CLOSED = "mode_closed"
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_REFUSED = "account_refused"


REASONS: dict[RefusalClass, Reason] = {
    RefusalClass.UNAUTHENTICATED: Reason.TAMPERED,
    RefusalClass.FOREIGN_INSTALLATION: Reason.FOREIGN,
    RefusalClass.ENROLMENT_EXPIRED: Reason.EXPIRED,
    RefusalClass.ENROLMENT_EXHAUSTED: Reason.EXHAUSTED,
    RefusalClass.ENROLMENT_REVOKED: Reason.REVOKED,
    RefusalClass.ENROLMENT_NOT_LISTED: Reason.NOT_LISTED,
    RefusalClass.MODE_CLOSED: Reason.MODE_CLOSED,
    RefusalClass.ACCOUNT_REFUSED: Reason.ACCOUNT_REFUSED,
    RefusalClass.ACCOUNT_NOT_ALLOWED: Reason.ACCOUNT_REFUSED,
    RefusalClass.RETIRED_GENERATION: Reason.ACCOUNT_CHANGED,
}
"""Classes that are about the package; no other refusal is told."""
_OF_ACCOUNTS = frozenset({Reason.ACCOUNT_REFUSED, Reason.ACCOUNT_CHANGED})


@dataclass(frozen=True, slots=True)
class Brought:
    """The credential that a package brought, as it is on record.

    Attributes:
        account: key of the account.
        generation: number of the credential generation.
        newest: number of that account's newest one.
        state: of the one that was brought.
    """

    account: str
    generation: int
    newest: int
    state: GenerationState


def reason_of(refusal: Refusal, *, sound: bool, brought: Brought | None) -> tuple[Reason, str] | None:
    """Return the reason and a sentence; None for a refusal that is not about the package.

    Args:
        refusal: as it was given.
        sound: the package's enrolment token verifies.
        brought: None in OAuth mode, and for a credential that is not on record.
    """
    reason = REASONS.get(refusal.kind)
    if reason is None or (reason is Reason.TAMPERED and sound):
        return None  # the package is sound, and something else about the request was not
    if refusal.kind is RefusalClass.ENROLMENT_REVOKED and refusal.detail == NOT_ON_RECORD:
        reason = Reason.UNKNOWN
    if reason in _OF_ACCOUNTS and brought is not None and brought.state is not GenerationState.PROVEN:
        return Reason.ACCOUNT_CHANGED, _changed(brought)
    return reason, refusal.detail or refusal.presented or refusal.rule.title


def _changed(brought: Brought) -> str:
    """Say that a password was changed since the package was built; an account in trouble is another matter."""
    newer = f" of {brought.newest}" if brought.newest > brought.generation else ", and no newer one is on record"
    told = f"it brings generation {brought.generation}{newer}"
    return f"the password of {brought.account} has changed since the package was built: {told}"
