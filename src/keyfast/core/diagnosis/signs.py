"""Signs that rules of several families share."""

from collections.abc import Callable

from keyfast.core.diagnosis.evidence import Answer, Evidence
from keyfast.core.diagnosis.finding import Scope
from keyfast.core.diagnosis.rule import Sign, Source, is_value, negated

ENOUGH = 0.5
"""Share of all requests that one answer has when it is the rule and not an exception."""


def answered(status: int, substatus: int | None = None, win32: frozenset[int] | None = None) -> Sign:
    """The web server answers so; ``substatus`` None is any, ``win32`` None is any."""
    label = str(status) if substatus is None else f"{status}.{substatus}"
    if win32:
        label += f" with Windows error {', '.join(map(str, sorted(win32)))}"

    def fits(answer: Answer) -> bool:
        same = answer.status == status and substatus in (None, answer.substatus)
        return same and (win32 is None or answer.win32 in win32)

    return Sign(f"the web server answers {label}", _any(fits), Source.LOG, _counted(fits))


def answered_always(status: int, substatus: int | None = None) -> Sign:
    """No request succeeds, and this is what most get."""

    def holds(evidence: Evidence) -> bool | None:
        answers, granted = evidence.http.answers, evidence.http.granted
        if answers is None or granted is None:
            return None
        ours = sum(a.count for a in answers if a.status == status and substatus in (None, a.substatus))
        return granted == 0 and ours > ENOUGH * sum(a.count for a in answers)

    return Sign("no request succeeds any more, and most get this answer", holds, Source.LOG)


def answered_mostly(status: int, substatus: int | None = None) -> Sign:
    """Of all requests, granted ones included, most get this."""

    def holds(evidence: Evidence) -> bool | None:
        answers, granted = evidence.http.answers, evidence.http.granted
        if answers is None or granted is None:
            return None
        ours = sum(a.count for a in answers if a.status == status and substatus in (None, a.substatus))
        return ours > ENOUGH * (granted + sum(a.count for a in answers))

    return Sign("most requests get this answer", holds, Source.LOG)


def _any(fits: Callable[[Answer], bool]) -> Callable[[Evidence], bool | None]:
    def holds(evidence: Evidence) -> bool | None:
        answers = evidence.http.answers
        return None if answers is None else any(fits(answer) for answer in answers)

    return holds


def _counted(fits: Callable[[Answer], bool]) -> Callable[[Evidence], str]:
    def detail(evidence: Evidence) -> str:
        count = sum(answer.count for answer in evidence.http.answers or () if fits(answer))
        return f"{count:,} requests" if count != 1 else "1 request"

    return detail


ACCOUNT_SUCCEEDS = Sign("the web server grants logons of this account now", lambda e: e.account.succeeds, Source.LOG)
NOTHING_CARRIED = Sign(
    "none of these machines carries a password: they use tokens",
    lambda e: negated(e.account.carried),
    Source.MACHINE,
)
REQUESTS_COME = Sign("requests of these machines reach the server", lambda e: e.reach.requests, Source.LOG)
NO_REQUESTS = Sign("no request of these machines reaches the server", lambda e: negated(e.reach.requests), Source.LOG)
OTHERS_COME = Sign("requests of other machines do", lambda e: e.reach.others, Source.LOG)
NOBODY_COMES = Sign("nobody else's do either", lambda e: negated(e.reach.others), Source.LOG)
ONE_MACHINE = Sign(
    "it is one machine, not a group", lambda e: is_value(e.affected.scope, Scope.MACHINE), Source.MACHINE
)
MANY_MACHINES = Sign(
    "it is more than one machine", lambda e: negated(is_value(e.affected.scope, Scope.MACHINE)), Source.MACHINE
)
