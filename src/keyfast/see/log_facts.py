"""What the web server's history says of one account: since when, what is answered now, what is granted now."""

import msgspec

from keyfast.core.diagnosis.change_point import fall, rise, segments
from keyfast.core.diagnosis.evidence import Answer, Http
from keyfast.see.iis_log import IisLog, Step, answers, logon

_FEW = 0.02
"""Share of its former successes that an account which was cut off may still have, by connections kept open."""


class LogFacts(msgspec.Struct, frozen=True):
    """What a log says of an account.

    Attributes:
        since: when it was cut off, or when refusals rose where its own successes are not told; None for neither.
        width_s: how exactly.
        http: what is answered since the last change of any kind, or in the whole log.
        succeeds: its logons are granted in the end; None where the log does not say.
        last_success: when a logon of it was granted last, 0 for never.
        ends_at: when the log ends.
    """

    since: int | None
    width_s: int
    http: Http
    succeeds: bool | None
    last_success: int
    ends_at: int


def of_account(log: IisLog, account: str) -> LogFacts | None:
    r"""Return what a log says of an account (``DOMAIN\name`` or a logon name); None for an empty log."""
    steps = log.steps
    if not steps:
        return None
    name = logon(account)
    own = [step.accounts[name] for _, step in steps]
    total = [step.granted + step.refused for _, step in steps]
    named = any(own)
    parts = segments(own if named else [step.refused for _, step in steps], total)
    worse = fall(parts) if named else rise(parts)
    began = worse.begin if worse else None
    current = [step for _, step in steps[parts[-1].begin :]]
    granted = sum(step.granted for step in current)
    now = sum(step.accounts[name] for step in current)
    return LogFacts(
        steps[began][0] if began is not None else None,
        log.step_s,
        Http(answers(current), granted, anonymous_open=_anonymous(log, current)),
        _succeeds(log, now, own, began) if named or log.has_names else None,
        next((at for (at, _), count in zip(reversed(steps), reversed(own), strict=True) if count), 0),
        steps[-1][0] + log.step_s,
    )


def _succeeds(log: IisLog, now: int, own: list[int], began: int | None) -> bool | None:
    if not log.has_names:
        return None
    return now > (_FEW * sum(own[:began]) if began is not None else 0)


def _anonymous(log: IisLog, current: list[Step]) -> bool | None:
    granted = sum(step.granted for step in current)
    if not log.has_names or not granted:
        return None
    return bool(sum(step.unnamed for step in current) > granted / 2)


def kinds(found: tuple[Answer, ...]) -> str:
    """The most frequent answers in words, empty for none."""
    told = (f"{a.status}.{a.substatus}" + (f" (Windows {a.win32})" if a.win32 else "") for a in found[:3])
    return ", ".join(told)
