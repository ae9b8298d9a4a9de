"""What the watch over an account has to tell now that it did not tell before.

Everything follows from stored readings, so a restart neither repeats nor loses an event. Per domain
controller ``remembered`` keeps the last reading and, if it could not be read since, that too: an outage
between two readings hides no change.

Members of an event's detail, beside ``account`` (not for the two about a domain controller):

- ``account_password_changed``: server, set_at, packages, endpoints, grace_ends_at (0: no grace is left)
- ``account_expires``: days (30, 14, 7 or 1), at, what (``password`` or ``account``), servers, endpoints
- ``account_expired``: what (``password`` or ``account``), at, servers, endpoints
- ``account_locked``, ``account_disabled``, ``account_missing``, ``account_must_change``: servers, endpoints
- ``account_repaired``: servers
- ``directory_unreachable``: server, reason; ``directory_reachable``: server
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from keyfast.core.account import (
    GRACE,
    AccountEvent,
    AccountEventKind,
    Built,
    current,
    days_class,
    has_expired,
    is_over,
    newest,
    next_of,
    outdated,
)
from keyfast.core.directory import AccountReading, Unreachable

Kind = AccountEventKind
Known = dict[str, AccountReading]
Readings = tuple[AccountReading, ...]
_PASSWORD, _ACCOUNT = "password", "account"


def remembered(
    before: Sequence[AccountReading | Unreachable], after: Sequence[AccountReading | Unreachable]
) -> tuple[AccountReading | Unreachable, ...]:
    """Return what to keep after a round of readings, to be handed to ``events`` as ``before`` next time.

    Domain controllers that are not in ``after`` are no longer asked and are forgotten.
    """
    known = _known(before)
    kept: list[AccountReading | Unreachable] = []
    for outcome in after:
        if isinstance(outcome, Unreachable) and outcome.server in known:
            kept.append(known[outcome.server])
        kept.append(outcome)
    return tuple(kept)


def events(
    account: str,
    before: Sequence[AccountReading | Unreachable],
    after: Sequence[AccountReading | Unreachable],
    now: int,
    *,
    built: Sequence[Built] = (),
    grace_s: int = GRACE,
) -> tuple[AccountEvent, ...]:
    """Return what is new in ``after``.

    Args:
        account: name of the account.
        before: what ``remembered`` returned last time; empty the first time, when all that is wrong is new.
        after: the outcome of this round, one per domain controller.
        now: server time.
        built: what packages were built with.
        grace_s: seconds for which the previous password is still taken.
    """
    old, new = _known(before), _known(remembered(before, after))
    told: list[AccountEvent] = list(_of_servers(before, after))
    if any(isinstance(outcome, AccountReading) for outcome in after):
        told += _changed(account, old, new, now, built, grace_s)
        told += _expiries(account, old, new, now, built)
        told += _states(account, old, new, now, built)
    return tuple(told)


def _known(outcomes: Sequence[AccountReading | Unreachable]) -> Known:
    return {outcome.server: outcome for outcome in outcomes if isinstance(outcome, AccountReading)}


def _of_servers(
    before: Sequence[AccountReading | Unreachable], after: Sequence[AccountReading | Unreachable]
) -> Iterator[AccountEvent]:
    down = {outcome.server for outcome in before if isinstance(outcome, Unreachable)}
    for outcome in after:
        if isinstance(outcome, Unreachable) and outcome.server not in down:
            yield AccountEvent(Kind.DIRECTORY_UNREACHABLE, {"server": outcome.server, "reason": outcome.reason})
        elif isinstance(outcome, AccountReading) and outcome.server in down:
            yield AccountEvent(Kind.DIRECTORY_REACHABLE, {"server": outcome.server})


def _changed(
    account: str, old: Known, new: Known, now: int, built: Sequence[Built], grace_s: int
) -> Iterator[AccountEvent]:
    was, now_is = newest(old.values()), newest(new.values())
    if now_is is None or not now_is.password_stamp:
        return
    stale = outdated(built, now_is.password_stamp)
    if was.password_stamp == now_is.password_stamp if was else not stale:
        return
    # Only the password right before this one is taken for a while.
    graced = any(b.password_stamp == (was.password_stamp if was else 0) for b in stale)
    ends = now_is.password_set_at + grace_s if graced or not was else 0
    detail: dict[str, str | int | list[str]] = {
        "account": account,
        "server": now_is.server,
        "set_at": now_is.password_set_at,
        "packages": [b.package for b in stale],
        "endpoints": sum(b.endpoints for b in stale),
        "grace_ends_at": ends if ends > now else 0,
    }
    yield AccountEvent(Kind.PASSWORD_CHANGED, detail)


def _expiries(account: str, old: Known, new: Known, now: int, built: Sequence[Built]) -> Iterator[AccountEvent]:
    latest = current(new.values())
    same = current(old.values()) if latest else ()
    if same and same[0].password_stamp != latest[0].password_stamp:
        same = ()
    kinds: tuple[tuple[str, Readings, Readings, Callable[[AccountReading], int | None]], ...] = (
        (_PASSWORD, latest, same, lambda reading: reading.password_expires_at),
        (_ACCOUNT, tuple(new.values()), tuple(old.values()), lambda reading: reading.expires_at),
    )
    for what, now_read, then_read, end_of in kinds:
        days = _nearest(days_class(end_of(reading), now) for reading in now_read)
        told = _nearest(days_class(end_of(reading), reading.read_at) for reading in then_read)
        at = next_of((end_of(reading) for reading in now_read), now)
        if days is None or at is None or (told is not None and told <= days):
            continue
        servers = [reading.server for reading in now_read if end_of(reading) == at]
        yield AccountEvent(Kind.EXPIRES, {**_detail(account, servers, built), "what": what, "days": days, "at": at})


def _nearest(classes: Iterable[int | None]) -> int | None:
    return min((days for days in classes if days is not None), default=None)


def _states(account: str, old: Known, new: Known, now: int, built: Sequence[Built]) -> Iterator[AccountEvent]:
    was = {key for reading in old.values() for key in _troubles(reading, reading.read_at)}
    found: dict[tuple[Kind, str], list[AccountReading]] = {}
    for reading in new.values():
        for key in _troubles(reading, now):
            found.setdefault(key, []).append(reading)
    for key in sorted(found.keys() - was):
        kind, what = key
        detail = _detail(account, [reading.server for reading in found[key]], built)
        if kind is Kind.EXPIRED:
            detail |= {"what": what, "at": _ended(found[key][0], what)}
        yield AccountEvent(kind, detail)
    if was and not found:
        yield AccountEvent(Kind.REPAIRED, {"account": account, "servers": list(new)})


def _troubles(reading: AccountReading, now: int) -> Iterator[tuple[Kind, str]]:
    if not reading.exists:
        yield Kind.MISSING, ""
        return
    states = (
        ((Kind.DISABLED, ""), reading.disabled),
        ((Kind.LOCKED, ""), reading.locked),
        ((Kind.MUST_CHANGE, ""), reading.must_change),
        ((Kind.EXPIRED, _PASSWORD), has_expired(reading, now)),
        ((Kind.EXPIRED, _ACCOUNT), is_over(reading.expires_at, now)),
    )
    yield from (key for key, holds in states if holds)


def _ended(reading: AccountReading, what: str) -> int:
    return (reading.password_expires_at if what == _PASSWORD else reading.expires_at) or 0


def _detail(account: str, servers: list[str], built: Sequence[Built]) -> dict[str, str | int | list[str]]:
    return {"account": account, "servers": servers, "endpoints": sum(b.endpoints for b in built)}
