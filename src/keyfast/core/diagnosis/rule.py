"""What a rule is, and how one rule is judged: signs in three values, true, false and unknown."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from keyfast.core.diagnosis.evidence import Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Finding, Option, Stage, Weight
from keyfast.core.visible import visible

C = Confidence
_LEVELS = tuple(Confidence)
_LONGEST = 1000
"""Characters of one sentence of evidence: a directory may say much."""


class Source(StrEnum):
    """Where a fact comes from. The values say what is missing when it is unknown."""

    DIRECTORY = "the account was not read in the directory"
    LOG = "no log of the web server was read"
    BUILT = "it is not known when the package was built"
    MACHINE = "nothing was collected on a machine that is silent"
    SERVER = "nothing was collected on the management server"
    REFUSALS = "no refusal of a Keyfast server is on record"


class Sign(msgspec.Struct, frozen=True):
    """One observation that speaks for or against a cause.

    Attributes:
        what: the observation, a sentence without its full stop.
        holds: whether it was made; None if that is unknown.
        source: who could tell.
        detail: the particulars of this case, empty for none.
        parts: the signs that it is made of, empty for one that stands alone.
    """

    what: str
    holds: Callable[[Evidence], bool | None]
    source: Source
    detail: Callable[[Evidence], str] = lambda _: ""
    parts: "tuple[Sign, ...]" = ()

    def sentences(self, evidence: Evidence) -> tuple[str, ...]:
        """The observation with its particulars; of one that is made of parts, those parts that hold."""
        if self.parts:
            return tuple(told for part in self.parts if part.holds(evidence) for told in part.sentences(evidence))
        detail = self.detail(evidence)
        return (f"{self.what} ({detail})" if detail else self.what,)

    def unknown(self, evidence: Evidence) -> tuple[Source, ...]:
        """Who could tell more of it."""
        if self.holds(evidence) is not None:
            return ()
        if self.parts:
            return tuple(source for part in self.parts for source in part.unknown(evidence))
        return (self.source,)


Options = Callable[[Evidence], tuple[Option, ...]]


class Rule(msgspec.Struct, frozen=True):
    """One possible cause.

    Attributes:
        code: stable name, also that of its page.
        stage: where on its way a check-in ends.
        cause: what happened, one sentence; ``{account}`` stands for the account.
        about: background for its page: why it happens, what it is mistaken for.
        needs: every one must hold, or the rule says nothing.
        options: what can be done.
        look: what to look at to be sure.
        weight: what it is to the question why machines are silent.
        base: how sure it is when all it needs holds.
        proofs: any one of these makes it certain.
        supports: each of these makes it surer by one step.
        against: each of these makes it less sure by one step.
        never: any one of these rules it out.
    """

    code: str
    stage: Stage
    cause: str
    about: str
    needs: tuple[Sign, ...]
    options: Options
    look: str
    weight: Weight = Weight.CAUSE
    base: Confidence = Confidence.LIKELY
    proofs: tuple[Sign, ...] = ()
    supports: tuple[Sign, ...] = ()
    against: tuple[Sign, ...] = ()
    never: tuple[Sign, ...] = ()


def judge(rule: Rule, evidence: Evidence) -> Finding | None:
    """Judge one rule; None if what it needs does not hold, or is not known."""
    if not all(sign.holds(evidence) for sign in rule.needs):
        return None
    if any(sign.holds(evidence) for sign in rule.never):
        return None
    proofs, supports, against = (_holding(signs, evidence) for signs in (rule.proofs, rule.supports, rule.against))
    level = 0 if proofs else max(_LEVELS.index(rule.base) - len(supports), 0)
    level = min(level + len(against), len(_LEVELS) - 1)
    return Finding(
        rule.code,
        rule.stage,
        rule.weight,
        _LEVELS[level],
        rule.cause.replace("{account}", evidence.account.name or "the account"),
        _sentences((*rule.needs, *proofs, *supports), evidence),
        _sentences(against, evidence),
        evidence.affected,
        rule.options(evidence),
        rule.look,
        evidence.since or 0,
    )


def missing(rule: Rule, evidence: Evidence) -> tuple[Source, ...]:
    """Return who could tell more, where what the rule needs is unknown and nothing speaks against it yet."""
    if any(sign.holds(evidence) is False for sign in rule.needs) or any(sign.holds(evidence) for sign in rule.never):
        return ()
    return tuple(dict.fromkeys(source for sign in rule.needs for source in sign.unknown(evidence)))


def any_of(what: str, *signs: Sign) -> Sign:
    """A sign that holds if one of several does."""

    def holds(evidence: Evidence) -> bool | None:
        states = [sign.holds(evidence) for sign in signs]
        if any(states):
            return True
        return None if None in states else False

    return Sign(f"{what}, as one of these says", holds, signs[0].source, parts=signs)


def all_of(what: str, *signs: Sign) -> Sign:
    """A sign that holds if every one of several does."""

    def holds(evidence: Evidence) -> bool | None:
        states = [sign.holds(evidence) for sign in signs]
        if False in states:
            return False
        return None if None in states else True

    return Sign(f"{what}, as all of these say", holds, signs[0].source, parts=signs)


def do(sentence: str, effort: Effort, risk: str = "none known", command: str = "", *, brings: bool = True) -> Options:
    """One option that is the same for everybody; ``brings`` whether it brings back all who are affected."""

    def options(evidence: Evidence) -> tuple[Option, ...]:
        return (Option(sentence, effort, risk, command, evidence.affected.count if brings else None),)

    return options


def by_product(see: Options, keyfast: Options) -> Options:
    """Options that differ with whose clients they are."""

    def options(evidence: Evidence) -> tuple[Option, ...]:
        return (keyfast if evidence.product is Product.KEYFAST else see)(evidence)

    return options


def by_system(
    sentence: str, effort: Effort, commands: Mapping[str, str], risk: str = "none known", *, brings: bool = True
) -> Options:
    """One option whose command is that of the machine's operating system, or Linux's where that is not known."""

    def options(evidence: Evidence) -> tuple[Option, ...]:
        command = commands.get(evidence.machine.system or "linux", "")
        return do(sentence, effort, risk, command, brings=brings)(evidence)

    return options


def is_value(found: object, wanted: object) -> bool | None:
    """Compare with a fact that may be unknown."""
    return None if found is None else found == wanted


def negated(found: bool | None) -> bool | None:
    """The opposite of a fact that may be unknown."""
    return None if found is None else not found


def _holding(signs: Sequence[Sign], evidence: Evidence) -> tuple[Sign, ...]:
    return tuple(sign for sign in signs if sign.holds(evidence))


def _sentences(signs: Sequence[Sign], evidence: Evidence) -> tuple[str, ...]:
    told = (visible(sentence, _LONGEST) for sign in signs for sentence in sign.sentences(evidence))
    return tuple(dict.fromkeys(told))
