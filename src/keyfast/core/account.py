"""What is said about a client authentication account: types and the words for them.

``core.account_verdict.judge`` says how an account stands, ``core.account_events.events`` what has changed
since it was last read. Both are pure: stored readings in, values out. Times are unix seconds, 0 for never
or unknown; ``grace`` is the time in which a directory still takes the previous password over NTLM and
Basic (Active Directory: ``OldPasswordAllowedPeriod``, 60 minutes unless set otherwise).
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from keyfast.core.directory import AccountReading, Logon

DAY = 86_400
GRACE = 3600
"""Seconds for which Active Directory takes the previous password over NTLM and simple binds, by default."""
EXPIRY_DAYS = (1, 7, 14, 30)
"""Days before an expiry at which it is told, nearest first."""


class AccountCondition(StrEnum):
    """How an account stands, worst first: the first that holds is the condition of the whole."""

    MISSING = "missing"
    DISABLED = "disabled"
    LOCKED = "locked"
    ACCOUNT_EXPIRED = "account_expired"
    EXPIRED = "expired"
    MUST_CHANGE = "must_change"
    CHANGED = "changed"
    EXPIRES_SOON = "expires_soon"
    ACCOUNT_EXPIRES_SOON = "account_expires_soon"
    LAGGING = "lagging"
    OVER_PRIVILEGED = "over_privileged"
    RESTRICTED = "restricted"
    PERSONAL = "personal"
    LOCKOUT_POSSIBLE = "lockout_possible"
    MAY_EXPIRE = "may_expire"
    BAD_PASSWORDS = "bad_passwords"
    UNREADABLE = "unreadable"
    HEALTHY = "healthy"


class Severity(StrEnum):
    """How much a finding matters."""

    OUTAGE = "outage"
    WARNING = "warning"
    NOTICE = "notice"


class Built(msgspec.Struct, frozen=True):
    """What one package (one credential generation) was built with.

    Attributes:
        package: name of the package.
        generation: credential generation its bundle carries.
        password_stamp: ``AccountReading.password_stamp`` when it was built, 0 if unknown.
        endpoints: endpoints that log on with what it brought.
        built_at: when it was built.
    """

    package: str
    generation: int
    password_stamp: int
    endpoints: int
    built_at: int


class Finding(msgspec.Struct, frozen=True):
    """One thing to know about an account.

    Attributes:
        condition: what it is.
        severity: how much it matters.
        sentence: what was found.
        meaning: what that means for which endpoints.
        repair: the one command or act that mends it.
        servers: domain controllers that say so.
        at: when it happened or will happen, 0 if that is not known.
        packages: packages concerned.
    """

    condition: AccountCondition
    severity: Severity
    sentence: str
    meaning: str
    repair: str = ""
    servers: tuple[str, ...] = ()
    at: int = 0
    packages: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """How an account stands.

    Attributes:
        condition: the worst that holds; notices alone leave it ``healthy``. ``unreadable`` says nothing
            about the account.
        findings: everything found, worst first.
    """

    condition: AccountCondition
    findings: tuple[Finding, ...]


class AccountEventKind(StrEnum):
    """What the watch over an account tells. The values are the kinds of stored events."""

    PASSWORD_CHANGED = "account_password_changed"  # noqa: S105 - a name, not a secret
    EXPIRES = "account_expires"
    EXPIRED = "account_expired"
    LOCKED = "account_locked"
    DISABLED = "account_disabled"
    MISSING = "account_missing"
    MUST_CHANGE = "account_must_change"
    REPAIRED = "account_repaired"
    DIRECTORY_UNREACHABLE = "directory_unreachable"
    DIRECTORY_REACHABLE = "directory_reachable"


class AccountEvent(msgspec.Struct, frozen=True):
    """Something to tell, once.

    Attributes:
        kind: what happened.
        detail: the particulars, ready for JSON; see ``core.account_events`` for the members of each kind.
    """

    kind: AccountEventKind
    detail: dict[str, str | int | list[str]]


def unusable(reading: AccountReading, now: int) -> Logon | None:
    """Tell what even the right password gets at that domain controller, or None if it is let in.

    Logon hours and workstations depend on when and from where, so they are not judged here. What has
    expired since the reading counts. An account that does not exist looks like a wrong password.
    """
    if not reading.exists:
        return Logon.WRONG_PASSWORD
    troubles = (
        (Logon.LOCKED, reading.locked),
        (Logon.DISABLED, reading.disabled),
        (Logon.ACCOUNT_EXPIRED, is_over(reading.expires_at, now)),
        (Logon.MUST_CHANGE, reading.must_change),
        (Logon.EXPIRED, has_expired(reading, now)),
    )
    return next((logon for logon, holds in troubles if holds), None)


def has_expired(reading: AccountReading, now: int) -> bool:
    """Tell whether the password has expired, by the directory's word or by the clock since it was read."""
    return not reading.must_change and (reading.password_expired or is_over(reading.password_expires_at, now))


def is_over(moment: int | None, now: int) -> bool:
    """Tell whether ``moment`` (None for never) has come."""
    return moment is not None and moment <= now


def days_class(moment: int | None, now: int) -> int | None:
    """Return the nearest of EXPIRY_DAYS within which ``moment`` lies ahead; None if further, past or never."""
    if moment is None or moment <= now:
        return None
    return next((days for days in EXPIRY_DAYS if moment - now <= days * DAY), None)


def next_of(moments: Iterable[int | None], now: int) -> int | None:
    """Return the first of ``moments`` that lies ahead, None if none does."""
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def newest(readings: Iterable[AccountReading]) -> AccountReading | None:
    """Return the reading with the latest password stamp: the domain controller that lags least."""
    return max((r for r in readings if r.exists), key=lambda r: r.password_stamp, default=None)


def current(readings: Iterable[AccountReading]) -> tuple[AccountReading, ...]:
    """Return the readings that have the latest password."""
    present = tuple(reading for reading in readings if reading.exists)
    latest = newest(present)
    return tuple(r for r in present if latest is not None and r.password_stamp == latest.password_stamp)


def outdated(built: Iterable[Built], stamp: int) -> tuple[Built, ...]:
    """Return what was built with an older password than the one set at ``stamp`` (0: not known)."""
    return tuple(b for b in built if 0 < b.password_stamp < stamp)
