"""A diagnosis as one HTML file without scripts, fonts or pictures of elsewhere."""

from pathlib import Path

from keyfast.errors import UsageError
from keyfast.see.report import SiteReport


def write(report: SiteReport, path: Path) -> None:
    """Write the report.

    Raises:
        UsageError: the file cannot be written.
    """
    raise UsageError(f"cannot write {path} ({report.machines})")
