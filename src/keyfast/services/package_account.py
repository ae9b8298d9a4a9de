"""The account that a package embeds: proven now, and fit to lie on every endpoint for as long as the package does."""

from collections.abc import Collection
from dataclasses import dataclass

from keyfast.core.account import AccountCondition as C
from keyfast.core.account import Severity
from keyfast.errors import ConflictError
from keyfast.services.account import AccountService
from keyfast.wire.admin import FindingView
from keyfast.wire.messages import BundleAccount

SOON = frozenset({C.EXPIRES_SOON.value, C.ACCOUNT_EXPIRES_SOON.value})
"""Conditions in which an account works now, and will not for long."""
UNFIT = SOON | frozenset(
    found.value for found in (C.MISSING, C.DISABLED, C.LOCKED, C.ACCOUNT_EXPIRED, C.EXPIRED, C.MUST_CHANGE)
)
"""Conditions in which no package is built; those in SOON may be waived by name."""
_OF_OTHERS = frozenset({C.CHANGED.value, C.UNREADABLE.value})
"""Conditions that say nothing against the newest password."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """An account as it goes into a package, and what its administrator should hear of it."""

    account: BundleAccount
    warnings: tuple[FindingView, ...]


async def proven(accounts: AccountService, account: str, despite: Collection[str]) -> Embedded:
    """Read the account from every domain controller, judge it, and try its password once.

    Raises:
        ConflictError: it is not fit, or its password does not work now; the message says why.
        NotReadyError: the directory cannot be asked.
    """
    view = await accounts.check(account)
    for finding in view.findings:
        if finding.condition in UNFIT and not (finding.condition in SOON and finding.condition in despite):
            raise ConflictError(f"{view.account}: {finding.sentence}", repair=_repair(finding))
    embedded = await accounts.embeddable(account)
    warned = (
        found for found in view.findings if found.severity != Severity.NOTICE and found.condition not in _OF_OTHERS
    )
    return Embedded(embedded, tuple(warned))


def _repair(finding: FindingView) -> str:
    waive = f"; or build it all the same: --despite {finding.condition}" if finding.condition in SOON else ""
    return f"{finding.repair}{waive}".removeprefix("; ")
