"""The account that a package embeds: proven now, and fit to lie on every endpoint for as long as the package does."""

from collections.abc import Collection
from dataclasses import dataclass

from keyfast.core.account import AccountCondition as C
from keyfast.core.account import Severity
from keyfast.core.embedding import SOON, is_warning, may_embed
from keyfast.errors import ConflictError
from keyfast.services.account import AccountService
from keyfast.wire.admin import FindingView
from keyfast.wire.bundle import BundleAccount


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
        if not may_embed(C(finding.condition), despite):
            raise ConflictError(f"{view.account}: {finding.sentence}", repair=_repair(finding))
    embedded = await accounts.embeddable(account)
    warned = (found for found in view.findings if is_warning(C(found.condition), Severity(found.severity)))
    return Embedded(embedded, tuple(warned))


def _repair(finding: FindingView) -> str:
    waive = f"; or build it all the same: --despite {finding.condition}" if finding.condition in SOON else ""
    return f"{finding.repair}{waive}".removeprefix("; ")
