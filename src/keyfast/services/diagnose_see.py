"""Diagnose a site of Symantec Endpoint Encryption from what it exported: groups in, a report out.

Accounts are looked up by reading attributes; no password is tried, so that nothing is counted toward a lockout.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from keyfast.core.account import Built, newest
from keyfast.core.account_verdict import judge, span
from keyfast.core.diagnosis.engine import diagnose
from keyfast.core.diagnosis.evidence import Account, Evidence, Http, Policy, Product, Reach, Record
from keyfast.core.diagnosis.finding import Affected, Scope
from keyfast.core.diagnosis.lockout import Lockouts, lockouts
from keyfast.core.directory import AccountReading, Unreachable
from keyfast.core.visible import visible
from keyfast.directory.entry import stamp_of
from keyfast.see.iis_log import IisLog
from keyfast.see.log_facts import LogFacts, kinds, of_account
from keyfast.see.report import GroupReport, Moment, SiteReport, SourceLine
from keyfast.see.report import Step as HistoryStep
from keyfast.see.tally import SEEN_STEP, Group, numbers

FRESH = 2 * 3600
"""Seconds for which what a log says counts as the present: an older success says nothing about now."""
_MOST_SHOWN = 400
"""Steps of the history in a report."""


class AccountReader(Protocol):
    """What is needed of a directory."""

    async def read(self, name: str) -> tuple[AccountReading | Unreachable, ...]:
        """Read an account from every domain controller."""
        ...


class Domain(msgspec.Struct, frozen=True):
    """A domain whose domain controllers can be read.

    Attributes:
        names: what it is called, short and DNS name, in lower case.
        directory: reads its accounts.
    """

    names: frozenset[str]
    directory: AccountReader


class Known(msgspec.Struct, frozen=True):
    r"""What the caller knows beside the exports.

    Attributes:
        built_at: when the packages of an account were built, by ``DOMAIN\name`` or logon name, in lower case; of
            all others by the empty name.
        log: of the web server.
        lock_after: days without contact after which the site's policy locks a machine, 0 for never or not known.
    """

    built_at: Mapping[str, int] = {}
    log: IisLog | None = None
    lock_after: int = 0


async def diagnose_site(
    groups: Sequence[Group],
    domains: Sequence[Domain],
    known: Known,
    sources: Iterable[SourceLine],
    now: int,
) -> SiteReport:
    """Diagnose every group.

    Args:
        groups: counted clients.
        domains: where accounts can be read; may be empty.
        known: see ``Known``.
        sources: what was read, for the report.
        now: the present.
    """
    told = [await _group(group, domains, known, now) for group in groups]
    history, step_s = _history(known.log)
    machines = sum(group.machines for group in groups)
    return SiteReport(now, machines, tuple(sources), tuple(told), history, step_s, _log_note(known.log, now))


async def _group(group: Group, domains: Sequence[Domain], known: Known, now: int) -> GroupReport:
    outcomes, note = await _read(group, domains)
    facts = of_account(known.log, group.key) if known.log is not None and group.key else None
    ahead = _lockouts(group, facts, known.lock_after, now)
    evidence = _evidence(group, outcomes, facts, _built_at(group, known), now)
    if ahead is not None:
        evidence = replace(evidence, record=Record(lockout_at=ahead.next_at))
    return GroupReport(
        group.key,
        group.machines,
        tuple(group.names),
        group.clients,
        dict(group.versions.most_common()),
        dict(group.servers.most_common()),
        diagnose(evidence),
        tuple(_timeline(evidence, facts, group)),
        (note,) if note else (),
        ahead,
    )


async def _read(group: Group, domains: Sequence[Domain]) -> tuple[tuple[AccountReading | Unreachable, ...], str]:
    if not group.key or not domains:
        return (), ""
    wanted = group.domain.lower()
    fitting = [domain for domain in domains if wanted in domain.names]
    if not wanted and len(domains) == 1:
        fitting = list(domains)
    if not fitting:
        told = visible(", ".join(sorted({name for domain in domains for name in domain.names})))
        return (), f"the domain {group.domain or '(none given)'} was not read: the domain controllers are of {told}"
    outcomes = [outcome for domain in fitting for outcome in await domain.directory.read(group.account)]
    note = "" if wanted else "the client database names no domain: the account was looked up in the one that was given"
    return tuple(outcomes), note


def _built_at(group: Group, known: Known) -> int | None:
    names = (group.key.lower(), group.account.lower(), "")
    return next((known.built_at[name] for name in names if name in known.built_at), None)


def _evidence(
    group: Group,
    outcomes: Sequence[AccountReading | Unreachable],
    facts: LogFacts | None,
    built_at: int | None,
    now: int,
) -> Evidence:
    clients = group.clients
    built = (Built("the clients", 0, stamp_of(built_at), group.machines, built_at),) if built_at else ()
    readings = [outcome for outcome in outcomes if isinstance(outcome, AccountReading)]
    carried = bool(group.key) and clients.tokens < group.machines
    account = Account(
        group.key,
        newest(readings),
        judge(outcomes, now, built=built) if outcomes else None,
        built_at,
        _succeeds(facts, now),
        carried,
    )
    oldest = min((found for version in group.versions if (found := numbers(version))), default=None)
    return Evidence(
        product=Product.SEE,
        clients=clients,
        now=now,
        affected=Affected(Scope.ACCOUNT, group.key or "clients without an account", group.machines, tuple(group.names)),
        since=facts.since if facts else None,
        since_width_s=facts.width_s if facts else 0,
        http=facts.http if facts else Http(),
        reach=Reach(requests=_requests(facts, now)),
        account=account,
        policy=Policy(oldest_version=oldest),
    )


def _lockouts(group: Group, facts: LogFacts | None, after_days: int, now: int) -> Lockouts | None:
    if not after_days:
        return None
    seen = {step * SEEN_STEP: count for step, count in group.seen.items()}
    return lockouts(seen, group.machines, facts.since if facts else None, after_days, now)


def _succeeds(facts: LogFacts | None, now: int) -> bool | None:
    if facts is None or not facts.succeeds:
        return facts.succeeds if facts else None
    return True if facts.last_success + facts.width_s >= now - FRESH else None


def _requests(facts: LogFacts | None, now: int) -> bool | None:
    if facts is None or facts.ends_at < now - FRESH:
        return None
    return bool(facts.http.answers) or bool(facts.http.granted) or None


def _log_note(log: IisLog | None, now: int) -> tuple[str, ...]:
    steps = log.steps if log is not None else []
    if log is None or not steps:
        return ()
    late = now - (steps[-1][0] + log.step_s)
    if late <= FRESH:
        return ()
    return (f"the log of the web server ends {span(late)} ago: what was granted in it says nothing about now",)


def _timeline(evidence: Evidence, facts: LogFacts | None, group: Group) -> list[Moment]:
    reading, account = evidence.account.reading, evidence.account
    ends = reading.password_expires_at if reading else None
    found = [
        (account.built_at or 0, "the clients' package was built"),
        (reading.password_set_at if reading else 0, "the password was set"),
        (reading.locked_at if reading and reading.locked else 0, "the account was locked"),
        ((reading.expires_at or 0) if reading else 0, "the account expires"),
        (ends or 0, "the password expires"),
        (facts.last_success if facts else 0, "last logon of the account that the web server granted"),
        ((facts.since or 0) if facts else 0, "the silence began"),
        (max(group.seen, default=0) * SEEN_STEP, "the last check-in of any of these machines"),
    ]
    if evidence.record.lockout_at:
        found.append((evidence.record.lockout_at, "the next machine is locked for lack of contact"))
    if facts and facts.since and facts.http.answers:
        found.append((facts.since, f"from here on the web server answers {kinds(facts.http.answers)}"))
    return [Moment(at, what) for at, what in sorted(found, key=lambda pair: pair[0]) if at > 0]


def _history(log: IisLog | None) -> tuple[tuple[HistoryStep, ...], int]:
    if log is None:
        return (), 0
    steps = log.steps
    every = max(1, -(-len(steps) // _MOST_SHOWN))
    shown = []
    for first in range(0, len(steps), every):
        part = [step for _, step in steps[first : first + every]]
        granted, refused = sum(step.granted for step in part), sum(step.refused for step in part)
        shown.append(HistoryStep(steps[first][0], granted, refused))
    return tuple(shown), log.step_s * every
