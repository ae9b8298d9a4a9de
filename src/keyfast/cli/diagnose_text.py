"""A diagnosis on a terminal. Texts of strangers are shown as they are, never as markup."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.core.diagnosis.finding import Confidence, Finding, Option, Weight
from keyfast.core.diagnosis.lockout import Lockouts
from keyfast.see.report import GroupReport, SiteReport, SourceLine
from keyfast.wire.incident import ServerDiagnosis

_COLOUR = {Confidence.CERTAIN: "bold red", Confidence.LIKELY: "yellow", Confidence.POSSIBLE: "dim"}
_CHECKED = {"good": "green", "bad": "bold red", "unknown": "yellow"}
_MANY = 5
"""Files of a kind that are listed one by one."""
DAYS = 7
"""Days with lockouts that are listed one by one."""
_FULL = 1
"""Findings that are shown with all their options; of the others, what they are."""


def show(report: SiteReport, console: Console) -> None:
    """Print a report."""
    for line in _sources(report.sources):
        console.print(line, soft_wrap=True)
    for group in report.groups:
        _group(group, console)
    for note in report.notes:
        console.print(Text(note, "yellow"))


def show_server(report: ServerDiagnosis, console: Console) -> None:
    """Print what a server found about itself."""
    for check in report.checks:
        line = Text.assemble((f"{check.state:8}", _CHECKED.get(check.state, "")), (check.what, "bold"))
        console.print(line.append(f": {check.sentence}"), soft_wrap=True)
    for subject in report.subjects:
        console.print(Text(f"\n{subject.subject}", "bold"))
        for number, found in enumerate(subject.findings):
            finding(found, console, full=number < _FULL or _is_cause(found))


def moment(unix: int) -> str:
    """A time as in a log, to the minute."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _sources(sources: Sequence[SourceLine]) -> Iterator[Text]:
    """A line for each file; where a folder held many of a kind, one for all in which nothing was wrong."""
    files, records = Counter[str](), Counter[str]()
    for source in filter(_is_whole, sources):
        files[source.kind] += 1
        records[source.kind] += source.records
    many = {kind: count for kind, count in files.items() if count > _MANY}
    for kind, count in many.items():
        yield Text(f"{kind}: {count:,} files: {records[kind]:,} read")
    yield from (_source(source) for source in sources if not (_is_whole(source) and source.kind in many))


def _is_whole(source: SourceLine) -> bool:
    return not source.damaged and not source.note


def _source(source: SourceLine) -> Text:
    line = Text(f"{source.kind}: {source.name}: {source.records:,} read")
    if source.damaged:
        line.append(f", {source.damaged:,} lines damaged", "yellow")
    if source.note:
        line.append(f"; {source.note}", "yellow")
    return line


def _group(group: GroupReport, console: Console) -> None:
    console.print()
    console.print(Text(f"{group.account or 'clients without an account'}: {machines(group.machines)}", "bold"))
    console.print(Padding(Text(_names(group), "dim"), (0, 0, 0, 2), expand=False))
    for note in group.notes:
        console.print(Padding(Text(note, "yellow"), (0, 0, 0, 2), expand=False))
    if group.lockouts is not None:
        for line in lockouts(group.lockouts):
            console.print(Padding(Text(line, "yellow"), (0, 0, 0, 2), expand=False))
    for number, found in enumerate(group.findings):
        finding(found, console, full=number < _FULL or _is_cause(found))
    for point in group.timeline:
        console.print(Padding(Text(f"{moment(point.at)}  {point.what}"), (0, 0, 0, 2), expand=False))


def finding(finding: Finding, console: Console, *, full: bool) -> None:
    """Print a finding: in full, or in one line."""
    if full:
        _whole(finding, console)
        return
    line = Text.assemble((f"{finding.confidence} ", _COLOUR[finding.confidence]), finding.cause)
    line.append(f" [{finding.code}]", "dim")
    console.print(Padding(line, (0, 0, 0, 2), expand=False))


def lockouts(ahead: Lockouts) -> Iterator[str]:
    """Yield sentences about machines that are locked if nobody is heard any more; the first days of many."""
    yield (
        f"locked after {ahead.after_days} days without contact: {machines(ahead.locked)} already,"
        f" {ahead.days[-1].total - ahead.locked if ahead.days else 0:,} to follow if nothing changes"
    )
    for day in ahead.days[:DAYS]:
        yield f"  from {moment(day.at)} on: {machines(day.machines)} more, {day.total:,} in all"
    if len(ahead.days) > DAYS:
        yield f"  and so on, until {moment(ahead.days[-1].at)}"
    if ahead.unknown:
        latest = f"; locked by {moment(ahead.latest)} at the latest" if ahead.latest else ""
        yield f"  of {machines(ahead.unknown)} the last check-in is not known{latest}"


def _is_cause(found: Finding) -> bool:
    return found.weight is Weight.CAUSE and found.confidence is not Confidence.POSSIBLE


def _whole(finding: Finding, console: Console) -> None:
    sure = "" if finding.code == CANNOT_TELL else f"{finding.confidence} "
    head = Text.assemble((sure, _COLOUR[finding.confidence]), (finding.cause, "bold"))
    head.append(f" [{finding.code}]", "dim")
    console.print(Padding(head, (1, 0, 0, 2), expand=False))
    if finding.since:
        console.print(Padding(Text(f"since {moment(finding.since)}"), (0, 0, 0, 4), expand=False))
    for mark, sentences in (("+", finding.evidence_for), ("-", finding.evidence_against)):
        for sentence in sentences:
            console.print(Padding(Text(f"{mark} {sentence}"), (0, 0, 0, 4), expand=False))
    for number, option in enumerate(finding.options, 1):
        _option(number, option, console)
    console.print(Padding(Text(f"to be sure: {finding.look}", "dim"), (0, 0, 1, 4), expand=False))


def _option(number: int, option: Option, console: Console) -> None:
    back = "" if option.endpoints is None else f"; brings back {option.endpoints:,}"
    console.print(Padding(Text(f"{number}. {option.sentence} ({option.effort}{back})"), (0, 0, 0, 4), expand=False))
    if option.machines:
        console.print(Padding(Text(f"for: {option.machines}"), (0, 0, 0, 7), expand=False))
    console.print(Padding(Text(f"risk: {option.risk}", "dim"), (0, 0, 0, 7), expand=False))
    if option.command:
        console.print(Text(f"       {option.command}", "cyan"), soft_wrap=True)


def _names(group: GroupReport) -> str:
    shown = ", ".join(group.names[:8])
    return shown + (f" and {group.machines - 8:,} more" if group.machines > len(group.names[:8]) else "")


def machines(count: int) -> str:
    """A number of machines in words."""
    return "1 machine" if count == 1 else f"{count:,} machines"
