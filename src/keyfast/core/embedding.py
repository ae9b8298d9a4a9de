"""Which account may be embedded in a package: it must log on now, and for as long as packages lie on endpoints."""

from collections.abc import Collection

from keyfast.core.account import AccountCondition as C
from keyfast.core.account import Severity

SOON = frozenset({C.EXPIRES_SOON, C.ACCOUNT_EXPIRES_SOON})
"""Conditions in which an account works now, and will not for long: they may be waived by name."""
UNFIT = SOON | {C.MISSING, C.DISABLED, C.LOCKED, C.ACCOUNT_EXPIRED, C.EXPIRED, C.MUST_CHANGE}
"""Conditions in which no package is built."""
_OF_OTHERS = frozenset({C.CHANGED, C.UNREADABLE})
"""Conditions that say nothing against the newest password."""


def may_embed(condition: C, despite: Collection[str] = ()) -> bool:
    """Tell whether a package may be built with an account in this condition, waived or not."""
    return condition not in UNFIT or (condition in SOON and condition.value in despite)


def is_warning(condition: C, severity: Severity) -> bool:
    """Tell whether whoever builds a package should hear of this condition of its account."""
    return severity is not Severity.NOTICE and condition not in _OF_OTHERS
