"""A diagnosis for a person: the cause first, then the evidence, what can be done, and what was looked at. Pure."""

from collections.abc import Iterator

from keyfast.agent.diagnosis.facts import Line
from keyfast.agent.diagnosis.report import Report, Verdict
from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.core.diagnosis.finding import Confidence, Finding, Option, Weight


def told(report: Report) -> str:
    """Say it; every text in it is safe to show."""
    return "\n".join((report.told, *_findings(report), "", "Looked at:", *map(_line, report.looked)))


def _findings(report: Report) -> Iterator[str]:
    for number, finding in enumerate(report.findings):
        leads = number == 0 and report.verdict is not Verdict.WELL
        sure = finding.weight is Weight.CAUSE and finding.confidence is not Confidence.POSSIBLE
        if leads:
            yield from _finding(finding)
        elif sure:
            yield f"\n{finding.cause}"
            yield from _finding(finding)
        else:
            yield f"  also {finding.confidence}: {finding.cause} [{finding.code}]"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  [{finding.code}]" + ("" if finding.code == CANNOT_TELL else f" {finding.confidence}")
    yield from (f"  + {sentence}" for sentence in finding.evidence_for)
    yield from (f"  - {sentence}" for sentence in finding.evidence_against)
    for number, option in enumerate(finding.options, 1):
        yield from _option(number, option)
    yield f"  to be sure: {finding.look}"


def _option(number: int, option: Option) -> Iterator[str]:
    yield f"  {number}. {option.sentence} ({option.effort}; risk: {option.risk})"
    if option.command:
        yield f"       {option.command}"


def _line(line: Line) -> str:
    return f"  {line.how:<9} {line.what:<16} {line.detail}"
