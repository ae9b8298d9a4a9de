"""What a diagnosis of this endpoint says: the verdict, the findings, and everything that was looked at. Pure."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from shlex import quote

import msgspec
from msgspec.structs import replace

from keyfast.agent.diagnosis.facts import Facts, How, Line, Said
from keyfast.agent.diagnosis.looked import looked
from keyfast.agent.diagnosis.mapping import evidence_of
from keyfast.core.diagnosis.engine import CANNOT_TELL, diagnose
from keyfast.core.diagnosis.evidence import ClientDatabase
from keyfast.core.diagnosis.finding import Effort, Finding, Option
from keyfast.core.ids import parse_endpoint_id
from keyfast.core.visible import visible
from keyfast.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOT_FINISHED

WELL = "Nothing is wrong here: the server takes this endpoint's access."
_ID = re.compile(r"\bID\b")
_OURS, _FOLDER = "keyfast-agent ", " --state-dir "


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
    lines, evidence = looked(facts), evidence_of(facts)
    endpoint = visible(facts.past.endpoint) if facts.past else ""
    findings = tuple(_about(facts, finding) for finding in diagnose(evidence))
    first = findings[0]
    if first.code != CANNOT_TELL:
        return Report(Verdict.FOUND, _told(first, evidence.refusal_said), endpoint, findings, lines)
    if _is_well(facts):
        return Report(Verdict.WELL, WELL, endpoint, findings[1:], lines)
    first = _about(facts, _without_cause(first, facts, lines))
    return Report(Verdict.CANNOT_TELL, first.cause, endpoint, (first, *findings[1:]), lines)


def _told(first: Finding, said: str) -> str:
    """The cause, and the server's own words where they say more."""
    said = said.rstrip(".")
    if not first.code.startswith("refused-") or said.casefold() in first.cause.casefold():
        return first.cause
    return f"{first.cause} It says: {said}."


def _about(facts: Facts, finding: Finding) -> Finding:
    """Make commands those of this endpoint: its id, and its folder where that is not the usual one."""
    options = (replace(one, command=_here(facts, one.command)) for one in finding.options)
    return replace(finding, options=tuple(options))


def _here(facts: Facts, command: str) -> str:
    endpoint = facts.past.endpoint if facts.past else ""
    if parse_endpoint_id(endpoint):  # it goes to a shell: what is no id does not
        command = _ID.sub(endpoint, command)
    if facts.folder and command.startswith(_OURS) and _FOLDER not in command:
        command += f"{_FOLDER}{quote(facts.folder)}"
    return command


def _is_well(facts: Facts) -> bool:
    let_in = facts.probed is not None and facts.probed.said is Said.ACCEPTED
    return let_in and facts.memory.database is ClientDatabase.INTACT


def _without_cause(first: Finding, facts: Facts, lines: Sequence[Line]) -> Finding:
    """Say what this endpoint does not know, in place of what might be collected elsewhere."""
    probed = facts.probed
    if probed is not None and probed.said is Said.NOT_ASKED:
        told = visible(probed.detail)
    else:
        bad = [one for how in (How.NOT_OK, How.NOT_SEEN) for one in lines if one.how is how]
        told = f"{bad[0].what} is {bad[0].how}: {bad[0].detail}" if bad else "nothing that was looked at explains it"
    return replace(first, cause=f"Cannot tell, because {told}.", evidence_for=(), options=tuple(_next(facts)))


def _next(facts: Facts) -> Iterator[Option]:
    endpoint = facts.past.endpoint if facts.past else ""
    if facts.memory.database is None and facts.memory.repair:
        yield Option(visible(facts.memory.repair), Effort.MINUTES, "none")
    yield Option("try a check-in, and look again", Effort.MINUTES, "none", "keyfast-agent check-in")
    shown = "keyfast endpoint show ID" if parse_endpoint_id(endpoint) else "keyfast endpoint list"
    yield Option("look at what the server has on record of this endpoint", Effort.MINUTES, "none", shown)
