"""What a diagnosis of this endpoint says: the verdict, the findings, and everything that was looked at. Pure."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from keyfast.agent.diagnosis.facts import Facts, How, Line, Said
from keyfast.agent.diagnosis.looked import looked
from keyfast.agent.diagnosis.mapping import evidence_of
from keyfast.core.diagnosis.engine import CANNOT_TELL, diagnose
from keyfast.core.diagnosis.evidence import ClientDatabase
from keyfast.core.diagnosis.finding import Effort, Finding, Option, Weight
from keyfast.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOT_FINISHED

WELL = "Nothing is wrong here: the server takes this endpoint's access."


class Verdict(StrEnum):
    """What it comes to."""

    WELL = "well"
    FOUND = "found"
    CANNOT_TELL = "cannot_tell"


EXITS = {Verdict.WELL: EXIT_DONE, Verdict.FOUND: EXIT_FAILED, Verdict.CANNOT_TELL: EXIT_NOT_FINISHED}


class Report(msgspec.Struct, frozen=True):
    """What ``diagnose --json`` prints.

    Attributes:
        verdict: what it comes to.
        told: the same as one sentence.
        endpoint: its id, empty if that is not known.
        findings: the cause to act on first at the top; empty if nothing at all is to be said.
        looked: what was looked at.
    """

    verdict: Verdict
    told: str
    endpoint: str
    findings: tuple[Finding, ...]
    looked: tuple[Line, ...]


def report_of(facts: Facts) -> Report:
    """Judge what was seen."""
    lines, findings = looked(facts), diagnose(evidence_of(facts))
    endpoint = facts.past.endpoint if facts.past else ""
    first = findings[0]
    if first.code != CANNOT_TELL:
        return Report(Verdict.FOUND, first.cause, endpoint, findings, lines)
    if _is_well(facts):
        return Report(Verdict.WELL, WELL, endpoint, findings[1:], lines)
    first = _without_cause(first, lines)
    return Report(Verdict.CANNOT_TELL, first.cause, endpoint, (first, *findings[1:]), lines)


def _is_well(facts: Facts) -> bool:
    let_in = facts.probed is not None and facts.probed.said is Said.ACCEPTED
    return let_in and facts.memory.database is ClientDatabase.INTACT


def _without_cause(first: Finding, lines: Sequence[Line]) -> Finding:
    """Say what this endpoint could not see, in place of what might be collected elsewhere."""
    wrong = [one for one in lines if one.how is How.NOT_OK]
    gaps = [one for one in lines if one.how is How.NOT_SEEN]
    told = wrong or gaps
    what = f"{told[0].what} is {told[0].how} ({told[0].detail})" if told else "nothing that was looked at explains it"
    options = (
        Option(
            "look at the server's side of it",
            Effort.MINUTES,
            "none",
            "keyfast endpoint show ID",
        ),
    )
    known = tuple(f"{one.what}: {one.detail}" for one in lines if one.how is How.OK)
    return replace(first, cause=f"Cannot tell, because {what}.", evidence_for=known, options=options)


def causes(report: Report) -> tuple[Finding, ...]:
    """The findings that are causes."""
    return tuple(finding for finding in report.findings if finding.weight is Weight.CAUSE)
