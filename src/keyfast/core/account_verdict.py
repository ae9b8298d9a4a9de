"""How a client authentication account stands: one rule per condition, and a table of the rules."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from keyfast.core import account_privilege as privilege
from keyfast.core.account import (
    DAY,
    GRACE,
    AccountCondition,
    Built,
    Finding,
    Severity,
    Verdict,
    current,
    days_class,
    has_expired,
    is_over,
    newest,
    next_of,
    outdated,
)
from keyfast.core.directory import AccountReading, Unreachable
from keyfast.core.powershell import quoted

C, S = AccountCondition, Severity


class _Facts(msgspec.Struct, frozen=True):
    """What the rules judge: readings where the account exists, and where it does not."""

    account: str
    readings: tuple[AccountReading, ...]
    without: tuple[str, ...]
    newest: AccountReading
    former: dict[str, AccountReading]
    built: tuple[Built, ...]
    grace_s: int
    now: int

    def where(self, holds: Callable[[AccountReading], bool]) -> tuple[str, ...]:
        return tuple(reading.server for reading in self.readings if holds(reading))

    @property
    def ps_name(self) -> str:
        """The account as an argument of PowerShell."""
        return quoted(self.account)

    @property
    def password_end(self) -> int | None:
        """When the current password expires, if that lies ahead; the first where domain controllers differ."""
        ends = (r.password_expires_at for r in current(self.readings) if not has_expired(r, self.now))
        return next_of(ends, self.now)

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(b.package for b in self.built)


def judge(
    readings: Sequence[AccountReading | Unreachable],
    now: int,
    *,
    built: Sequence[Built] = (),
    grace_s: int = GRACE,
    before: Sequence[AccountReading | Unreachable] = (),
) -> Verdict:
    """Judge one account by what its domain controllers say.

    Args:
        readings: the outcome of each domain controller.
        now: server time.
        built: what packages were built with.
        grace_s: seconds for which the previous password is still taken over NTLM and Basic.
        before: earlier readings; with them a rising count of wrong passwords is told.
    """
    found = [r for r in readings if isinstance(r, AccountReading)]
    dark = [r for r in readings if isinstance(r, Unreachable)]
    present = tuple(r for r in found if r.exists)
    absent = tuple(r.server for r in found if not r.exists)
    latest = newest(present)
    findings = list(_unread(dark, some=bool(found)))
    if latest is not None:
        former = {r.server: r for r in before if isinstance(r, AccountReading)}
        facts = _Facts(latest.name, present, absent, latest, former, tuple(built), grace_s, now)
        findings += [finding for rule in RULES if (finding := rule(facts)) is not None]
    elif absent:
        name = next((r.name for r in found if r.name), "")
        findings.append(_gone(name, absent, tuple(built)))
    findings.sort(key=lambda finding: (list(S).index(finding.severity), list(C).index(finding.condition)))
    worst = next((f.condition for f in findings if f.severity is not S.NOTICE), C.HEALTHY)
    return Verdict(worst, tuple(findings))


def span(seconds: int) -> str:
    """Say a length of time in words, in days from two days on."""
    for unit, length in (("day", DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (unit == "minute" and seconds >= length):
            count = seconds // length
            return f"{count} {unit}" + ("s" if count != 1 else "")
    return "less than a minute"


def _affected(built: Iterable[Built]) -> str:
    parts = tuple(built)
    if not parts:
        return "no package carries this account yet, so no endpoint is affected"
    count = sum(b.endpoints for b in parts)
    return f"{count} endpoint{'' if count == 1 else 's'} of {_packages(parts)}"


def _packages(built: Sequence[Built]) -> str:
    """A package by its name, more of them by their number: ``Finding.packages`` has them all."""
    return built[0].package if len(built) == 1 else f"{len(built)} packages"


def _silenced(built: Sequence[Built]) -> str:
    if not built:
        return _affected(built)
    return f"{_affected(built)} cannot log on. Endpoints that check in by OAuth are not touched"


def _unread(dark: Sequence[Unreachable], *, some: bool) -> Iterable[Finding]:
    if dark:
        yield Finding(
            C.UNREADABLE,
            S.NOTICE if some else S.WARNING,
            "; ".join(f"{r.server}: {r.reason}" for r in dark),
            "the other domain controllers were read" if some else "nothing is known of the account now",
            "check the connection to the domain controller and the reader account",
            tuple(r.server for r in dark),
        )


def _gone(name: str, servers: tuple[str, ...], built: tuple[Built, ...]) -> Finding:
    return Finding(
        C.MISSING,
        S.OUTAGE,
        f"the directory has no account {name}".rstrip() + ", or the reader account may not see it",
        _silenced(built),
        f"Get-ADObject -Filter 'sAMAccountName -eq \"{name}\"' -IncludeDeletedObjects | Restore-ADObject",
        servers,
        packages=tuple(b.package for b in built),
    )


def _outage(
    facts: _Facts,
    condition: AccountCondition,
    holds: Callable[[AccountReading], bool],
    text: tuple[str, str],
    at: int = 0,
) -> Finding | None:
    servers = facts.where(holds)
    if not servers:
        return None
    sentence, repair = text
    return Finding(condition, S.OUTAGE, sentence, _silenced(facts.built), repair, servers, at, facts.packages)


def _missing(facts: _Facts) -> Finding | None:
    return _gone(facts.account, facts.without, facts.built) if facts.without else None


def _disabled(facts: _Facts) -> Finding | None:
    text = ("the account is disabled", f"Enable-ADAccount -Identity {facts.ps_name}")
    return _outage(facts, C.DISABLED, lambda r: r.disabled, text)


def _locked(facts: _Facts) -> Finding | None:
    text = ("the account is locked out after wrong passwords", f"Unlock-ADAccount -Identity {facts.ps_name}")
    return _outage(facts, C.LOCKED, lambda r: r.locked, text, max(r.locked_at for r in facts.readings))


def _account_expired(facts: _Facts) -> Finding | None:
    text = ("the account has expired", f"Clear-ADAccountExpiration -Identity {facts.ps_name}")
    return _outage(
        facts, C.ACCOUNT_EXPIRED, lambda r: is_over(r.expires_at, facts.now), text, facts.newest.expires_at or 0
    )


def _expired(facts: _Facts) -> Finding | None:
    text = ("the password has expired", f"Set-ADUser -Identity {facts.ps_name} -PasswordNeverExpires $true")
    return _outage(facts, C.EXPIRED, lambda r: has_expired(r, facts.now), text, facts.newest.password_expires_at or 0)


def _must_change(facts: _Facts) -> Finding | None:
    text = (
        "the password must be changed at the next logon",
        f"Set-ADUser -Identity {facts.ps_name} -ChangePasswordAtLogon $false",
    )
    return _outage(facts, C.MUST_CHANGE, lambda r: r.must_change, text)


def _changed(facts: _Facts) -> Finding | None:
    stale = outdated(facts.built, facts.newest.password_stamp)
    if not stale:
        return None
    silent = any(b.endpoints for b in stale)
    return Finding(
        C.CHANGED,
        S.OUTAGE if silent else S.WARNING,
        f"the password was set {span(facts.now - facts.newest.password_set_at)} ago, "
        f"after {_packages(stale)} {'were' if len(stale) > 1 else 'was'} built",
        _changed_meaning(facts, stale),
        "set the former password again, or give these endpoints the new one: keyfast recover",
        (facts.newest.server,),
        facts.newest.password_set_at,
        tuple(b.package for b in stale),
    )


def _changed_meaning(facts: _Facts, stale: tuple[Built, ...]) -> str:
    # The grace is for the one password before this; anything older has had its time.
    last = max(b.password_stamp for b in stale)
    graced = tuple(b for b in stale if b.password_stamp == last)
    left = facts.newest.password_set_at + facts.grace_s - facts.now
    if left <= 0:
        return f"{_affected(stale)} cannot log on, unless the same password was set again"
    late = tuple(b for b in stale if b.password_stamp < last)
    text = f"{_affected(graced)} may go on by NTLM or Basic for {span(left)} and not by Kerberos, then fall silent"
    return text + (f"; {_affected(late)} cannot log on" if late else "")


def _expires_soon(facts: _Facts) -> Finding | None:
    at = facts.password_end
    if at is None or days_class(at, facts.now) is None:
        return None
    return Finding(
        C.EXPIRES_SOON,
        S.WARNING,
        f"the password expires in {span(at - facts.now)}" + _policy(facts.newest),
        f"from then on: {_silenced(facts.built)}",
        f"Set-ADUser -Identity {facts.ps_name} -PasswordNeverExpires $true",
        facts.where(lambda r: r.password_expires_at == at),
        at,
        facts.packages,
    )


def _account_expires_soon(facts: _Facts) -> Finding | None:
    at = next_of((r.expires_at for r in facts.readings), facts.now)
    if at is None or days_class(at, facts.now) is None:
        return None
    return Finding(
        C.ACCOUNT_EXPIRES_SOON,
        S.WARNING,
        f"the account expires in {span(at - facts.now)}",
        f"from then on: {_silenced(facts.built)}",
        f"Clear-ADAccountExpiration -Identity {facts.ps_name}",
        facts.where(lambda r: r.expires_at == at),
        at,
        facts.packages,
    )


def _may_expire(facts: _Facts) -> Finding | None:
    at = facts.password_end
    if at is None or days_class(at, facts.now) is not None:
        return None
    return Finding(
        C.MAY_EXPIRE,
        S.WARNING,
        f"the password expires in {span(at - facts.now)}: 'password never expires' is not set" + _policy(facts.newest),
        f"from then on: {_silenced(facts.built)}",
        f"Set-ADUser -Identity {facts.ps_name} -PasswordNeverExpires $true",
        facts.where(lambda r: r.password_expires_at == at),
        at,
        facts.packages,
    )


def _policy(reading: AccountReading) -> str:
    return f" (password policy {reading.policy})" if reading.policy else ""


def _lagging(facts: _Facts) -> Finding | None:
    # Stamp 0 is "must change", which has a rule of its own.
    latest = max([facts.newest.password_stamp, *(b.password_stamp for b in facts.built)])
    behind = facts.where(lambda r: 0 < r.password_stamp < latest)
    if not behind:
        return None
    return Finding(
        C.LAGGING,
        S.WARNING,
        f"{', '.join(behind)} {'have' if len(behind) > 1 else 'has'} an older password than is known elsewhere",
        "a logon may be refused or granted depending on the domain controller that answers it",
        "repadmin /replsummary; after a restored directory set the password again",
        behind,
    )


def _over_privileged(facts: _Facts) -> Finding | None:
    reasons = sorted({reason for reading in facts.readings for reason in privilege.beyond_user(reading)})
    if not reasons:
        return None
    return Finding(
        C.OVER_PRIVILEGED,
        S.WARNING,
        "the account is more than an ordinary user: " + "; ".join(reasons),
        "its password is on every endpoint: whoever reads it there has these rights",
        "use an account that is in Domain Users only",
        facts.where(lambda r: bool(privilege.beyond_user(r))),
    )


def _restricted(facts: _Facts) -> Finding | None:
    servers = facts.where(lambda r: r.hours_restricted or bool(r.workstations))
    if not servers:
        return None
    hours = any(r.hours_restricted for r in facts.readings)
    stations = sorted({name for r in facts.readings for name in r.workstations})
    what = ["logon hours are restricted"] * hours + [f"logon only from {', '.join(stations)}"] * bool(stations)
    return Finding(
        C.RESTRICTED,
        S.WARNING,
        "; ".join(what),
        f"outside of that: {_silenced(facts.built)}",
        f"Set-ADUser -Identity {facts.ps_name} -Clear logonHours,userWorkstations",
        servers,
    )


def _personal(facts: _Facts) -> Finding | None:
    servers = facts.where(lambda r: bool(r.person))
    if not servers:
        return None
    names = sorted({name for r in facts.readings for name in r.person})
    return Finding(
        C.PERSONAL,
        S.WARNING,
        f"it looks like a person's account: {', '.join(names)} set",
        "a person changes the password or leaves, and every endpoint falls silent with it",
        "use an account that serves nothing else",
        servers,
    )


def _lockout_possible(facts: _Facts) -> Finding | None:
    unknown = facts.newest.lockout_threshold is None
    limits = [r.lockout_threshold for r in facts.readings if r.lockout_threshold]
    if not limits and not unknown:
        return None
    told = "lockout threshold cannot be read" if not limits else f"{min(limits)} wrong passwords lock it"
    return Finding(
        C.LOCKOUT_POSSIBLE,
        S.WARNING if limits else S.NOTICE,
        told + _policy(facts.newest),
        "anyone who sends wrong passwords, stale endpoints among them, can lock it for all: " + _affected(facts.built),
        "give the account a fine-grained password policy with lockout threshold 0",
        facts.where(lambda r: r.lockout_threshold is None or r.lockout_threshold > 0),
    )


def _bad_passwords(facts: _Facts) -> Finding | None:
    servers = facts.where(lambda r: r.bad_passwords > 0)
    if not servers:
        return None
    rises = [r for r in facts.readings if r.server in facts.former and r.bad_passwords > _former_bad(facts, r)]
    count = ", ".join(f"{r.bad_passwords} at {r.server}" for r in facts.readings if r.bad_passwords)
    return Finding(
        C.BAD_PASSWORDS,
        S.WARNING if rises else S.NOTICE,
        f"wrong passwords counted: {count}" + (", rising" if rises else ""),
        "something tries an old or wrong password for this account",
        "look for endpoints refused as account_refused, and for other uses of the account",
        servers,
    )


def _former_bad(facts: _Facts, reading: AccountReading) -> int:
    return facts.former[reading.server].bad_passwords


RULES: tuple[Callable[[_Facts], Finding | None], ...] = (
    _missing,
    _disabled,
    _locked,
    _account_expired,
    _expired,
    _must_change,
    _changed,
    _expires_soon,
    _account_expires_soon,
    _lagging,
    _over_privileged,
    _restricted,
    _personal,
    _lockout_possible,
    _may_expire,
    _bad_passwords,
)
