"""Refused enrolments, told exactly: which package, and why it lets nobody in (any more)."""

import re
from dataclasses import dataclass
from typing import Protocol

import msgspec

from keyfast.core.enrolment_reason import Brought, Reason, reason_of
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import TrustError
from keyfast.services.live import LiveState
from keyfast.store.endpoints import EndpointRow
from keyfast.trust.encoding import decode_json, unb64u
from keyfast.trust.enrolment import TYP, EnrolmentToken

_CLAIMED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who asked to join with a package.

    Attributes:
        statement: the enrolment token it presented.
        name: host name that it says.
        address: of the peer.
        account: key of the account it logs on with (Windows mode), and
        generation: that account's credential generation.
    """

    statement: str
    name: str
    address: str
    account: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class RefusedEnrolment:
    """A refusal to tell.

    Attributes:
        kind: class that the endpoint heard.
        reason: what is wrong.
        package: id, if the enrolment token verified.
        claimed: id that a token names which does not verify; anybody can write that.
        why: one sentence.
        name, address: of the latest who asked.
    """

    kind: RefusalClass
    reason: Reason
    package: str
    claimed: str
    why: str
    name: str
    address: str


class Observer(Protocol):
    """Hears of enrolments that were refused."""

    def enrolment_refused(self, told: RefusedEnrolment) -> None:
        """One was refused."""
        ...


class EnrolmentRefusals:
    """Finds out what a refused enrolment was about.

    Args:
        live: keys and accounts in force.
        observer: hears of it.
    """

    def __init__(self, live: LiveState, observer: Observer) -> None:
        self._live = live
        self._observer = observer

    def tell(self, refusal: Refusal, knock: Knock) -> None:
        """Tell of a refusal, if it is about the package."""
        package = self._package(knock.statement)
        found = reason_of(refusal, sound=bool(package), brought=self._brought(knock))
        if found is None:
            return
        reason, why = found
        self._observer.enrolment_refused(
            RefusedEnrolment(
                refusal.kind,
                reason,
                package,
                "" if package else claimed_package(knock.statement),
                why[:300],
                knock.name[:128],
                knock.address,
            )
        )

    def exhausted(self, endpoint: EndpointRow, refusal: Refusal, address: str) -> None:
        """Tell of an endpoint that was registered in time, and proved it only when the package was used up."""
        told = (refusal.detail or refusal.rule.title, endpoint.name[:128], address)
        self._observer.enrolment_refused(
            RefusedEnrolment(refusal.kind, Reason.EXHAUSTED, endpoint.package_id, "", *told)
        )

    def _package(self, statement: str) -> str:
        try:
            return self._live.current.keyset.verify(statement, TYP, EnrolmentToken).package
        except TrustError:
            return ""

    def _brought(self, knock: Knock) -> Brought | None:
        account = self._live.current.accounts.get(knock.account)
        held = account.generations.get(knock.generation) if account else None
        if account is None or held is None:
            return None
        return Brought(account.key, knock.generation, account.newest, held.state)


class _Claims(msgspec.Struct):
    package: str = ""


def claimed_package(statement: str) -> str:
    """Return the package id that an enrolment token names, verified or not; empty if it names none."""
    try:
        claims = decode_json(unb64u(statement.split(".")[1]), _Claims)
    except (ValueError, IndexError):
        return ""
    return claims.package if _CLAIMED.match(claims.package) else ""
