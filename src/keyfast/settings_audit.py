"""Settings of the audit trail: the table ``audit`` of ``server.toml``."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from keyfast.core.audit_keep import LEAST_DAYS, MOST_DAYS
from keyfast.errors import UsageError


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How long the audit trail is kept.

    Attributes:
        keep_days: after so many days its records are removed; 0 for never.
        export_to: folder to which they are written before, None for none.
    """

    keep_days: int = 0
    export_to: Path | None = None


FOR_EVER = AuditSettings()


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    keep_days: int = 0
    export_to: str = ""


def read(path: Path, found: dict[str, object]) -> AuditSettings:
    """Read the table.

    Args:
        path: the file, for sentences and for paths relative to it.
        found: the table.

    Raises:
        UsageError: it has an unknown member, one of a wrong type, or a number of days that is not allowed.
    """
    try:
        table = msgspec.convert(found, _Table)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: audit: {cause}") from None
    if table.keep_days and not LEAST_DAYS <= table.keep_days <= MOST_DAYS:
        raise UsageError(f"{path}: audit.keep_days must be 0 (for ever), or from {LEAST_DAYS} to {MOST_DAYS}")
    return AuditSettings(table.keep_days, path.parent / table.export_to if table.export_to else None)
