"""What stands against a package, as far as it is known here: pure, and the same words wherever it is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from keyfast.core.generation import GenerationState
from keyfast.core.package_life import PackageState


class PackageFault(StrEnum):
    """Why a package is not what one would install today, worst first."""

    BUILDING = "building"
    FAILED = "failed"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    ACCOUNT_CHANGED = "account_changed"


SENTENCES: dict[PackageFault, str] = {
    PackageFault.BUILDING: "it is still being built",
    PackageFault.FAILED: "it was never finished",
    PackageFault.REVOKED: "it was revoked, and enrols no more endpoints",
    PackageFault.EXPIRED: "its enrolment token has expired",
    PackageFault.EXHAUSTED: "as many endpoints as it allows have enrolled with it",
    PackageFault.ACCOUNT_CHANGED: "the password of the account inside has changed since it was built",
}


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What is on record of a package.

    Attributes:
        state: of its record.
        expires_at: of its enrolment token, unix seconds; 0 while it has none.
        uses: endpoints that enrolled with it.
        max_uses: how many may.
        account: key of the account inside, empty in OAuth mode.
        generation: state of the credential generation inside; None in OAuth mode, or if it is not on record.
    """

    state: PackageState
    expires_at: int
    uses: int
    max_uses: int
    account: str = ""
    generation: GenerationState | None = None


def faults(facts: PackageFacts, now: int) -> tuple[PackageFault, ...]:
    """Return everything that stands against a package, worst first; nothing if it can be installed now."""
    enrols = facts.state is PackageState.READY
    holds = {
        PackageFault.BUILDING: facts.state is PackageState.BUILDING,
        PackageFault.FAILED: facts.state is PackageState.FAILED,
        PackageFault.REVOKED: facts.state is PackageState.REVOKED,
        PackageFault.EXPIRED: enrols and now >= facts.expires_at,
        PackageFault.EXHAUSTED: enrols and facts.uses >= facts.max_uses,
        PackageFault.ACCOUNT_CHANGED: bool(facts.account) and facts.generation is not GenerationState.PROVEN,
    }
    return tuple(fault for fault in PackageFault if holds[fault])


def told(found: Iterable[PackageFault]) -> str:
    """Say it in one line, empty for nothing."""
    return "; ".join(SENTENCES[fault] for fault in found)
