"""Refusals: why the server said no, as a value with a machine-readable class.

There is no bare 401. A caller who has proven nothing learns only the classes marked ``anonymous``;
``masked`` turns any other class into ``unauthenticated`` for them, so that the API is no oracle.
Classes and their meaning: docs/protocol/refusals.md (a test keeps the two in step).
"""

from dataclasses import dataclass, field
from enum import StrEnum


class RefusalClass(StrEnum):
    """The reason, stable across versions. Agents must tolerate classes they do not know."""

    USE_NONCE = "use_nonce"
    STALE_TIME = "stale_time"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a name, not a secret
    UNKNOWN_DEVICE = "unknown_device"
    FOREIGN_INSTALLATION = "foreign_installation"
    PENDING = "pending"
    REVOKED = "revoked"
    REPLAYED = "replayed"
    NOT_READY = "not_ready"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    WRONG_MEDIA_TYPE = "wrong_media_type"
    NOT_FOUND = "not_found"
    ENROLMENT_EXPIRED = "enrolment_expired"
    ENROLMENT_EXHAUSTED = "enrolment_exhausted"
    ENROLMENT_REVOKED = "enrolment_revoked"
    ENROLMENT_NOT_LISTED = "enrolment_not_listed"
    ACCOUNT_REFUSED = "account_refused"
    ACCOUNT_NOT_ALLOWED = "account_not_allowed"
    MODE_CLOSED = "mode_closed"
    CONNECTION_BROKEN = "connection_broken"
    RETIRED_GENERATION = "retired_generation"
    KEY_SUPERSEDED = "key_superseded"
    WINDOW_CLOSED = "window_closed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a class is told: HTTP status, title, and whether an unproven caller may hear it."""

    status: int
    title: str
    anonymous: bool = False


RULES: dict[RefusalClass, Rule] = {
    RefusalClass.USE_NONCE: Rule(401, "Sign again with the nonce in this answer", anonymous=True),
    RefusalClass.STALE_TIME: Rule(401, "The proof is too old; use the server's time in this answer", anonymous=True),
    RefusalClass.UNAUTHENTICATED: Rule(401, "The proof of identity is missing or does not hold", anonymous=True),
    RefusalClass.TOKEN_EXPIRED: Rule(401, "The access token has expired; ask for a new one"),
    RefusalClass.UNKNOWN_DEVICE: Rule(404, "This server has no record of the device"),
    RefusalClass.FOREIGN_INSTALLATION: Rule(403, "It was issued by another installation"),
    RefusalClass.PENDING: Rule(403, "The endpoint waits for an administrator's approval"),
    RefusalClass.REVOKED: Rule(403, "The endpoint was revoked by an administrator"),
    RefusalClass.REPLAYED: Rule(409, "The sequence number was used before"),
    RefusalClass.NOT_READY: Rule(503, "The server cannot answer now; try again later", anonymous=True),
    RefusalClass.MALFORMED: Rule(400, "The request is not what the protocol says", anonymous=True),
    RefusalClass.TOO_LARGE: Rule(413, "The request is larger than the protocol allows", anonymous=True),
    RefusalClass.WRONG_MEDIA_TYPE: Rule(415, "The content type is not the one expected", anonymous=True),
    RefusalClass.NOT_FOUND: Rule(404, "There is nothing here", anonymous=True),
    RefusalClass.ENROLMENT_EXPIRED: Rule(403, "The enrolment token has expired"),
    RefusalClass.ENROLMENT_EXHAUSTED: Rule(403, "The enrolment token has reached its use ceiling"),
    RefusalClass.ENROLMENT_REVOKED: Rule(403, "The enrolment token was revoked"),
    RefusalClass.ENROLMENT_NOT_LISTED: Rule(403, "The package's allow-list does not name this computer"),
    RefusalClass.ACCOUNT_REFUSED: Rule(401, "The account's logon was refused", anonymous=True),
    RefusalClass.ACCOUNT_NOT_ALLOWED: Rule(403, "This is not a client authentication account", anonymous=True),
    RefusalClass.MODE_CLOSED: Rule(403, "This authentication mode is switched off", anonymous=True),
    RefusalClass.CONNECTION_BROKEN: Rule(401, "The legs of this logon took different connections", anonymous=True),
    RefusalClass.RETIRED_GENERATION: Rule(403, "The credential generation was retired; recover by the device key"),
    RefusalClass.KEY_SUPERSEDED: Rule(403, "The device key has a successor; it serves for recovery only"),
    RefusalClass.WINDOW_CLOSED: Rule(403, "Recovery is possible only while a recovery window is open"),
    RefusalClass.QUARANTINED: Rule(403, "The endpoint is in quarantine until an administrator lets it in"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no" with its reason, and what a person needs to repair it.

    Attributes:
        kind: the class.
        detail: one sentence about this occurrence; no secrets.
        presented: which credential was presented, as far as it may be named.
        expected: what would have been accepted.
        repair: the one command that repairs it, or an empty string.
        retry_after: seconds, for ``not_ready``.
        extra: further members of the problem body (RFC 9457 section 3.2).
    """

    kind: RefusalClass
    detail: str = ""
    presented: str = ""
    expected: str = ""
    repair: str = ""
    retry_after: int = 0
    extra: dict[str, str | int] = field(default_factory=dict)

    @property
    def rule(self) -> Rule:
        """The row of the table for this class."""
        return RULES[self.kind]


def masked(refusal: Refusal) -> Refusal:
    """What a caller who has proven nothing may hear of ``refusal``."""
    if refusal.rule.anonymous:
        return refusal
    return Refusal(RefusalClass.UNAUTHENTICATED)
