"""What a diagnosis says: findings, each with its evidence and its options. Times are unix seconds."""

from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """Where on its way a check-in ends, in the order in which it passes them."""

    REACH = "reach"
    TLS = "tls"
    STATUS = "status"
    MODE = "mode"
    ACCOUNT = "account"
    TOKEN = "token"  # noqa: S105 - a name, not a secret
    RECORD = "record"
    POLICY = "policy"


class Weight(StrEnum):
    """What a finding is to the question why machines are silent, most important first.

    CAUSE explains a silence or a fault that is there now, LATER will cause one, NOTE is worth knowing beside it.
    """

    CAUSE = "cause"
    LATER = "later"
    NOTE = "note"


class Confidence(StrEnum):
    """How sure a finding is, surest first."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Scope(StrEnum):
    """What silent machines have in common: where to look first."""

    MACHINE = "machine"
    ACCOUNT = "account"
    PACKAGE = "package"
    SITE = "site"
    GROUP = "group"
    EVERYBODY = "everybody"


class Effort(StrEnum):
    """How much work an option is, least first."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    VISITS = "a visit to each machine"


class Affected(msgspec.Struct, frozen=True):
    """Whom it is about.

    Attributes:
        scope: what they have in common.
        name: of the account, package, site or machine; safe to show.
        count: machines.
        names: some of their names; safe to show.
    """

    scope: Scope
    name: str
    count: int
    names: tuple[str, ...] = ()


class Option(msgspec.Struct, frozen=True):
    """Something that can be done.

    Attributes:
        sentence: what is done.
        effort: how much work it is.
        risk: what can go wrong, or what it leaves open.
        command: what carries it out, ready to be pasted; empty where only a person at a console can do it.
        endpoints: how many it brings back, None where that is not known.
        machines: for which machines; empty for all that are affected.
    """

    sentence: str
    effort: Effort
    risk: str
    command: str = ""
    endpoints: int | None = None
    machines: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        code: stable name of the rule; its page is docs/diagnosis/rules/CODE.md.
        stage: where on its way a check-in ends.
        weight: what it is to the question.
        confidence: how sure it is.
        cause: what happened.
        evidence_for: what speaks for it, in sentences.
        evidence_against: what speaks against it, in sentences.
        affected: whom.
        options: what can be done, the one to try first at the top.
        look: what to look at to be sure.
        since: when it began, 0 if that is not known.
    """

    code: str
    stage: Stage
    weight: Weight
    confidence: Confidence
    cause: str
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]
    affected: Affected
    options: tuple[Option, ...]
    look: str
    since: int = 0
