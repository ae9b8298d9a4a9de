"""Enrolment tokens: signed software statements (RFC 7591 section 2.3) that buy only "ask to join"."""

from typing import Literal

import msgspec

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.roles import ENROLMENT_TYP

TYP = ENROLMENT_TYP

_REPAIR = "build a new package: keyfast package create"


class EnrolmentToken(msgspec.Struct, frozen=True):
    """Claims of an enrolment token (signed by the token role).

    Attributes:
        installation: installation id.
        jti: its unique id.
        package: id of the package it is embedded in.
        ring: set of endpoints the package is for.
        admission: ``auto``, or ``approve`` for the pending list.
        issued_at: server time.
        expires_at: server time; void from then on.
        max_uses: how many endpoints may enrol with it.
        mode: authentication mode of the package; an endpoint joins the way its package says.
        listed: the package has an allow-list of computers; the server holds it.
    """

    installation: str
    jti: str
    package: str
    ring: str
    admission: Literal["auto", "approve"]
    issued_at: int
    expires_at: int
    max_uses: int
    mode: Literal["oauth", "windows"] = "oauth"
    listed: bool = False


def judge(token: EnrolmentToken, now: int, uses: int, *, revoked: bool) -> Refusal | None:
    """Tell whether a token still buys a registration; endpoints already on record are never judged by it.

    Args:
        token: a verified token.
        now: server time.
        uses: how many endpoints have enrolled with it.
        revoked: an administrator revoked it.
    """
    presented = f"enrolment token {token.jti} of package {token.package}"
    if revoked:
        return Refusal(RefusalClass.ENROLMENT_REVOKED, presented=presented, repair=_REPAIR)
    if now >= token.expires_at:
        return Refusal(RefusalClass.ENROLMENT_EXPIRED, presented=presented, repair=_REPAIR)
    if uses >= token.max_uses:
        detail = f"{uses} of {token.max_uses} uses are spent"
        return Refusal(RefusalClass.ENROLMENT_EXHAUSTED, detail, presented=presented, repair=_REPAIR)
    return None
