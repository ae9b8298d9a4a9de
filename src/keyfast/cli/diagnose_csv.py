"""A diagnosis as CSV: a line for every machine, with the first finding and the first option of its group."""

import csv
from collections.abc import Iterable
from pathlib import Path

from keyfast.cli.diagnose_text import moment
from keyfast.errors import UsageError
from keyfast.see.client import Client
from keyfast.see.report import GroupReport, SiteReport
from keyfast.see.tally import Tally

COLUMNS = (
    "machine",
    "account",
    "version",
    "last_check_in",
    "locked_from",
    "finding",
    "confidence",
    "cause",
    "since",
    "first_option",
    "command",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(clients: Iterable[Client], tally: Tally, report: SiteReport, path: Path) -> None:
    """Write a line for every client.

    Raises:
        UsageError: the file cannot be written.
    """
    told = {group.account: group for group in report.groups}
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for client in clients:
                group = told.get(tally.group_of(client).key)
                writer.writerow([cell(text) for text in _line(client, group)])
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause.strerror or cause}") from cause


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(client: Client, group: GroupReport | None) -> tuple[str, ...]:
    seen = moment(client.seen_at) if client.seen_at else ""
    locked = _locked_from(client, group)
    if group is None:
        return (client.machine, client.account, client.version, seen, locked, *[""] * 6)
    first = group.findings[0]
    option = first.options[0] if first.options else None
    return (
        client.machine,
        group.account,
        client.version,
        seen,
        locked,
        first.code,
        first.confidence,
        first.cause,
        moment(first.since) if first.since else "",
        option.sentence if option else "",
        option.command if option else "",
    )


def _locked_from(client: Client, group: GroupReport | None) -> str:
    """When a machine is or was locked if it is not heard any more; empty where that is not known."""
    if group is None or group.lockouts is None or not client.seen_at:
        return ""
    return moment(group.lockouts.locked_at(client.seen_at))
