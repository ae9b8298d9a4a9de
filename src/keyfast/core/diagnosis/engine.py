"""Judge everything that is known, put the answers in order, and say so where the evidence cannot tell."""

from collections.abc import Sequence

from keyfast.core.diagnosis.evidence import Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Finding, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Source, judge, missing
from keyfast.core.diagnosis.table import RULES

CANNOT_TELL = "cannot-tell"
CANNOT_TELL_ABOUT = """
Said whenever no cause is at least likely. It stands before causes that are merely possible, so that the first
finding is never a guess. It names what was looked at, what is missing, and how to get it.
"""

_WEIGHTS, _CONFIDENCES, _STAGES = list(Weight), list(Confidence), list(Stage)
_HOW: dict[Product, dict[Source, str]] = {
    Product.SEE: {
        Source.DIRECTORY: "--ad ldaps://DC",
        Source.LOG: "--iis u_ex*.log",
        Source.BUILT: "--built-at 'DOMAIN\\account=2026-01-31'",
        Source.MACHINE: "look at one silent machine: its name lookup, port, certificate, clock and service",
        Source.SERVER: "look at the management server: its event log, its database, its certificate",
    },
    Product.KEYFAST: {
        Source.DIRECTORY: "keyfast account check",
        Source.LOG: "keyfast events",
        Source.BUILT: "keyfast package list",
        Source.MACHINE: "keyfast-agent diagnose, on one silent machine",
        Source.SERVER: "keyfast server nodes",
        Source.REFUSALS: "keyfast endpoint show",
    },
}


def diagnose(evidence: Evidence, rules: Sequence[Rule] = RULES) -> tuple[Finding, ...]:
    """Return what is found, the cause to act on first at the top.

    Order: causes of what is wrong now, then what will go wrong, then notes; the surer first; of equally sure ones
    that which stops a check-in earlier on its way. Where no cause is at least likely, the first is ``cannot-tell``.
    """
    found = [finding for rule in rules if (finding := judge(rule, evidence)) is not None]
    found.sort(key=_rank)
    if not any(f.weight is Weight.CAUSE and f.confidence is not Confidence.POSSIBLE for f in found):
        found.insert(0, _cannot_tell(evidence, rules, found))
    return tuple(found)


def _rank(finding: Finding) -> tuple[int, int, int]:
    return (
        _WEIGHTS.index(finding.weight),
        _CONFIDENCES.index(finding.confidence),
        _STAGES.index(finding.stage),
    )


def _cannot_tell(evidence: Evidence, rules: Sequence[Rule], found: Sequence[Finding]) -> Finding:
    causes = [rule for rule in rules if rule.weight is Weight.CAUSE]
    gaps = {source for rule in causes for source in missing(rule, evidence)} - _given(evidence)
    how = _HOW[evidence.product]
    asked = [source for source in Source if source in gaps and source in how]
    guesses = [finding.cause for finding in found if finding.weight is Weight.CAUSE]
    because = ", and ".join(source.value for source in asked) or "nothing that was looked at explains it"
    return Finding(
        CANNOT_TELL,
        Stage.REACH,
        Weight.CAUSE,
        Confidence.CERTAIN,
        f"Cannot tell, because {because}.",
        tuple(_known(evidence)),
        tuple(f"possible: {cause}" for cause in guesses),
        evidence.affected,
        tuple(Option(f"find out: {source.value}", Effort.MINUTES, "none", how[source]) for source in asked),
        "What is missing, in the order of the options.",
        evidence.since or 0,
    )


def _given(evidence: Evidence) -> set[Source]:
    """Sources that were looked at: a fact that needs two of them may be unknown for lack of the other."""
    account = evidence.account
    states = (
        (Source.DIRECTORY, account.read),
        (Source.LOG, evidence.http.answers is not None),
        (Source.BUILT, account.built_at is not None),
        (Source.REFUSALS, evidence.refusals is not None),
        (Source.MACHINE, bool(evidence.machine.system)),
    )
    return {source for source, given in states if given}


def _known(evidence: Evidence) -> list[str]:
    """What was looked at and explains nothing."""
    told = []
    account = evidence.account
    if account.read and account.verdict is not None:
        told.append(f"the account {account.name} was read ({account.verdict.condition}) and does not explain it")
    if evidence.http.answers is not None:
        told.append(f"the web server's log was read: {evidence.http.granted or 0:,} requests succeed now")
    return told
