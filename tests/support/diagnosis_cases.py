"""For every diagnosis rule a piece of evidence that it fits: nothing in it but what the rule speaks of."""

from typing import Any

from keyfast.core.account import Built
from keyfast.core.account_verdict import judge
from keyfast.core.diagnosis.evidence import (
    Account,
    Answer,
    ClientDatabase,
    Connecting,
    Evidence,
    Http,
    Machine,
    Policy,
    Reach,
    Record,
    Tls,
    TlsFault,
    Token,
)
from keyfast.core.diagnosis.finding import Affected, Scope
from keyfast.core.directory import AccountReading, Unreachable
from keyfast.core.refusal import RefusalClass

NOW = 1_800_000_000
DAY = 86_400
NAME = "CORP\\svc-see"


def reading(**changes: Any) -> AccountReading:
    """A healthy account whose password was set a hundred days ago, with changes."""
    set_at = changes.pop("set_at", NOW - 100 * DAY)
    values = {
        "password_stamp": (set_at + 11_644_473_600) * 10**7,
        "password_set_at": set_at,
        "never_expires": True,
        "lockout_threshold": 0,
    } | changes
    return AccountReading("dc1", NOW, exists=True, name="svc-see", **values)


def account(*readings: AccountReading | Unreachable, built_at: int | None = None, **facts: Any) -> Account:
    """The account as those readings have it."""
    outcomes = readings or (reading(),)
    found = [one for one in outcomes if isinstance(one, AccountReading) and one.exists]
    built = (Built("clients", 0, (built_at + 11_644_473_600) * 10**7, 5, built_at),) if built_at else ()
    latest = max(found, key=lambda one: one.password_stamp, default=None)
    return Account(NAME, latest, judge(outcomes, NOW, built=built), built_at, **facts)


def evidence(**parts: Any) -> Evidence:
    """Evidence of five machines that share an account."""
    names = tuple(f"PC{number}" for number in range(5))
    affected = Affected(parts.pop("scope", Scope.ACCOUNT), NAME, 5, names)
    return Evidence(**({"now": NOW, "affected": affected} | parts))


def of(**changes: Any) -> Evidence:
    """Evidence of an account alone."""
    return evidence(account=account(reading(**changes)))


def answers(status: int, substatus: int = 0, win32: int = 0, granted: int = 0) -> Http:
    """The web server answers nothing else."""
    return Http((Answer(status, substatus, win32, 100),), granted)


def machine(**facts: Any) -> Evidence:
    """Evidence from the way to the server."""
    return evidence(reach=Reach(**facts))


_MISSING = AccountReading("dc1", NOW, exists=False, name="svc-see")
_LAGGING = (reading(), AccountReading("dc2", NOW, exists=True, name="svc-see", password_stamp=5, never_expires=True))
_CHANGED_AT = NOW - 2 * DAY

HITS: dict[str, Evidence] = {
    "certificate-not-begun": evidence(tls=Tls(TlsFault.NOT_YET, begins_at=NOW + DAY)),
    "identity-went-on": evidence(record=Record(went_on=True)),
    "client-not-installed": evidence(machine=Machine(ClientDatabase.ABSENT)),
    "client-database-damaged": evidence(machine=Machine(ClientDatabase.DAMAGED, "no frame holds", "a backup")),
    "client-vault-closed": evidence(machine=Machine(ClientDatabase.SEALED)),
    "gateway-fails": machine(stranger_status=502),
    "stranger-answers": machine(stranger_status=404),
    "certificate-issuer-unknown": evidence(tls=Tls(TlsFault.ISSUER_UNKNOWN)),
    "tls-too-old": evidence(tls=Tls(TlsFault.TOO_OLD)),
    "tls-unanswered": evidence(tls=Tls(TlsFault.UNANSWERED)),
    "tls-cut": evidence(tls=Tls(TlsFault.CUT)),
    "service-stopped": machine(service_runs=False),
    "disk-full": machine(disk_full=True),
    "name-unresolved": machine(resolves=False),
    "server-moved": machine(name_is_old=True),
    "connection-refused": machine(connecting=Connecting.REFUSED),
    "connection-timeout": machine(connecting=Connecting.TIMEOUT),
    "proxy-refuses": machine(proxy_status=407),
    "machine-silent": evidence(scope=Scope.MACHINE, reach=Reach(requests=False, others=True)),
    "site-silent": machine(site_silent=True),
    "nobody-arrives": machine(requests=False, others=False),
    "certificate-expired": evidence(tls=Tls(TlsFault.EXPIRED)),
    "certificate-from-future": evidence(tls=Tls(TlsFault.NOT_YET)),
    "certificate-untrusted": evidence(tls=Tls(TlsFault.UNTRUSTED)),
    "certificate-incomplete": evidence(tls=Tls(TlsFault.INCOMPLETE)),
    "certificate-wrong-name": evidence(tls=Tls(TlsFault.WRONG_NAME)),
    "port-without-tls": evidence(tls=Tls(TlsFault.NOT_TLS)),
    "certificate-ends-soon": evidence(tls=Tls(expires_at=NOW + 9 * DAY)),
    "permission-denied": evidence(http=answers(401, 3)),
    "filter-denies": evidence(http=answers(401, 4)),
    "application-denies": evidence(http=answers(401, 5)),
    "url-rule-denies": evidence(http=answers(401, 7)),
    "https-demanded": evidence(http=answers(403, 4)),
    "address-refused": evidence(http=answers(403, 6)),
    "client-certificate-demanded": evidence(http=answers(403, 7)),
    "client-certificate-revoked": evidence(http=answers(403, 13)),
    "client-certificate-untrusted": evidence(http=answers(403, 16)),
    "client-certificate-expired": evidence(http=answers(403, 17)),
    "service-missing": evidence(http=answers(404)),
    "database-unreachable": evidence(http=answers(500)),
    "server-overloaded": evidence(http=answers(503, 2)),
    "mode-not-offered": evidence(http=answers(401, 2)),
    "kerberos-name-missing": evidence(
        http=Http((Answer(401, 1, 0x80090322, 9),), 0, through_alias=True),
    ),
    "anonymous-open": evidence(http=Http((), 100, anonymous_open=True)),
    "account-missing": evidence(account=account(_MISSING)),
    "account-disabled": of(disabled=True),
    "account-locked": of(locked=True, locked_at=NOW - 60),
    "account-expired": of(expires_at=NOW - DAY),
    "password-expired": of(password_expired=True, never_expires=False, password_expires_at=NOW - DAY),
    "password-must-change": of(must_change=True, password_expired=True, password_stamp=0, password_set_at=0),
    "password-changed": evidence(account=account(reading(set_at=_CHANGED_AT), built_at=NOW - 90 * DAY)),
    "password-grace": evidence(
        account=account(reading(set_at=_CHANGED_AT)), since=_CHANGED_AT + 3000, since_width_s=60
    ),
    "password-replicating": evidence(account=account(*_LAGGING)),
    "logon-restricted": of(hours_restricted=True),
    "wrong-password": evidence(http=answers(401, 1, 1326)),
    "password-expires-soon": of(never_expires=False, password_expires_at=NOW + 9 * DAY),
    "account-expires-soon": of(expires_at=NOW + 9 * DAY),
    "password-may-expire": of(never_expires=False, password_expires_at=NOW + 300 * DAY),
    "lockout-possible": of(lockout_threshold=5),
    "wrong-passwords": of(bad_passwords=3),
    "over-privileged": of(admin_count=True),
    "personal-account": of(person=("mail",)),
    "directory-unreadable": evidence(account=account(Unreachable("dc1", NOW, "down"))),
    "token-key-unknown": evidence(token=Token(key_known=False)),
    "token-foreign": evidence(token=Token(foreign=True)),
    "clock-skew": machine(clock_off_s=4000),
    "token-out-of-time": evidence(token=Token(in_time=False)),
    "key-ends-soon": evidence(token=Token(key_ends_at=NOW + 9 * DAY)),
    "enrolment-ends-soon": evidence(token=Token(enrolment_ends_at=NOW + 9 * DAY)),
    "duplicate-record": evidence(record=Record(duplicate=True)),
    "cloned-identity": evidence(record=Record(alternating=True)),
    "retired": evidence(record=Record(uninstalled=True)),
    "administrators-missing": evidence(record=Record(checked_in_since_change=False)),
    "blocked-before-boot": evidence(record=Record(blocked_before_boot=True)),
    "never-checked-in": evidence(record=Record(exists=False)),
    "became-unmanaged": evidence(record=Record(unmanaged_after_upgrade=True)),
    "lockout-near": evidence(record=Record(lockout_at=NOW + 3 * DAY)),
    "window-with-missing": evidence(record=Record(window_ends_at=NOW + 600, window_missing=4)),
    "window-forgotten": evidence(record=Record(window_ends_at=NOW + 30 * DAY)),
    "unassigned": evidence(policy=Policy(checks_in=True, assigned=False)),
    "policy-pending": evidence(policy=Policy(policy_age_s=600)),
    "autologon-unknown": evidence(policy=Policy(autologon_reported=False, oldest_version=(11, 2))),
    "users-unregistered": evidence(policy=Policy(users_registered=False, oldest_version=(11, 4))),
    "console-rights": evidence(policy=Policy(console_denied=True)),
    "console-sign-in": evidence(policy=Policy(sign_in_fails=True)),
    **{f"refused-{kind.replace('_', '-')}": evidence(refusals={kind: 5}) for kind in RefusalClass},
}
"""Evidence that each rule fits, by its code."""

NEAR: dict[str, Evidence] = {
    "certificate-not-begun": evidence(tls=Tls(TlsFault.NOT_YET, begins_at=NOW - DAY)),
    "identity-went-on": evidence(record=Record(went_on=False)),
    "client-not-installed": evidence(machine=Machine(ClientDatabase.DAMAGED)),
    "client-database-damaged": evidence(machine=Machine(ClientDatabase.SEALED)),
    "client-vault-closed": evidence(machine=Machine(ClientDatabase.INTACT)),
    "gateway-fails": machine(stranger_status=404),
    "stranger-answers": machine(stranger_status=503),
    "certificate-issuer-unknown": evidence(tls=Tls(TlsFault.INCOMPLETE)),
    "tls-too-old": evidence(tls=Tls(TlsFault.NOT_TLS)),
    "tls-unanswered": evidence(tls=Tls(TlsFault.CUT)),
    "tls-cut": evidence(tls=Tls(TlsFault.UNANSWERED)),
    "service-stopped": machine(service_runs=True),
    "disk-full": machine(disk_full=False),
    "name-unresolved": machine(resolves=False, connecting=Connecting.OPEN),
    "server-moved": machine(name_is_old=False, resolves=False),
    "connection-refused": machine(connecting=Connecting.TIMEOUT),
    "connection-timeout": machine(connecting=Connecting.REFUSED),
    "proxy-refuses": machine(proxy_status=0),
    "machine-silent": evidence(scope=Scope.MACHINE, reach=Reach(requests=False, others=True, service_runs=False)),
    "site-silent": machine(site_silent=False, requests=False),
    "nobody-arrives": machine(requests=False, others=True),
    "certificate-expired": evidence(tls=Tls(TlsFault.NOT_YET)),
    "certificate-from-future": evidence(tls=Tls(TlsFault.EXPIRED)),
    "certificate-untrusted": evidence(tls=Tls(TlsFault.INCOMPLETE)),
    "certificate-incomplete": evidence(tls=Tls(TlsFault.UNTRUSTED)),
    "certificate-wrong-name": evidence(tls=Tls(TlsFault.NONE)),
    "port-without-tls": evidence(tls=Tls(TlsFault.NONE)),
    "certificate-ends-soon": evidence(tls=Tls(expires_at=NOW + 31 * DAY)),
    "permission-denied": evidence(http=answers(401, 4)),
    "filter-denies": evidence(http=answers(401, 3)),
    "application-denies": evidence(http=answers(401, 7)),
    "url-rule-denies": evidence(http=answers(401, 5)),
    "https-demanded": evidence(http=answers(403, 6)),
    "address-refused": evidence(http=answers(403, 4)),
    "client-certificate-demanded": evidence(http=answers(403, 13)),
    "client-certificate-revoked": evidence(http=answers(403, 16)),
    "client-certificate-untrusted": evidence(http=answers(403, 17)),
    "client-certificate-expired": evidence(http=answers(403, 7)),
    "service-missing": evidence(http=answers(405)),
    "database-unreachable": evidence(http=answers(503)),
    "server-overloaded": evidence(http=answers(500)),
    "mode-not-offered": evidence(http=Http((), 100)),
    "kerberos-name-missing": evidence(http=Http((Answer(401, 1, 1326, 9),), 0, through_alias=False)),
    "anonymous-open": evidence(http=Http((), 100, anonymous_open=False)),
    "account-missing": evidence(account=account(Unreachable("dc1", NOW, "down"))),
    "account-disabled": evidence(account=account(reading(disabled=True), succeeds=True)),
    "account-locked": of(locked_at=NOW - 60),
    "account-expired": of(expires_at=NOW + DAY),
    "password-expired": of(never_expires=False, password_expires_at=NOW + DAY),
    "password-must-change": of(password_stamp=0, password_set_at=0),
    "password-changed": evidence(
        account=account(reading(set_at=_CHANGED_AT), built_at=NOW - DAY), since=_CHANGED_AT + 60
    ),
    "password-grace": evidence(account=account(reading(set_at=_CHANGED_AT)), since=_CHANGED_AT + 30, since_width_s=60),
    "password-replicating": evidence(account=account(reading(), reading())),
    "logon-restricted": of(),
    "wrong-password": evidence(http=answers(401, 1, 1326, granted=50)),
    "password-expires-soon": of(never_expires=False, password_expires_at=NOW + 90 * DAY),
    "account-expires-soon": of(expires_at=NOW + 90 * DAY),
    "password-may-expire": of(),
    "lockout-possible": of(lockout_threshold=0),
    "wrong-passwords": of(bad_passwords=0),
    "over-privileged": of(admin_count=False),
    "personal-account": of(person=()),
    "directory-unreadable": of(),
    "token-key-unknown": evidence(token=Token(key_known=True)),
    "token-foreign": evidence(token=Token(foreign=False)),
    "clock-skew": machine(clock_off_s=200),
    "token-out-of-time": evidence(token=Token(in_time=False), reach=Reach(clock_off_s=4000)),
    "key-ends-soon": evidence(token=Token(key_ends_at=NOW + 90 * DAY)),
    "enrolment-ends-soon": evidence(token=Token(enrolment_ends_at=NOW - DAY)),
    "duplicate-record": evidence(record=Record(duplicate=False)),
    "cloned-identity": evidence(record=Record(alternating=False)),
    "retired": evidence(record=Record(uninstalled=False)),
    "administrators-missing": evidence(record=Record(checked_in_since_change=True)),
    "blocked-before-boot": evidence(record=Record(blocked_before_boot=False, lockout_at=NOW + DAY)),
    "never-checked-in": evidence(record=Record(exists=False, duplicate=True)),
    "became-unmanaged": evidence(record=Record(unmanaged_after_upgrade=False)),
    "lockout-near": evidence(record=Record(lockout_at=NOW + 30 * DAY)),
    "window-with-missing": evidence(record=Record(window_ends_at=NOW + 600, window_missing=0)),
    "window-forgotten": evidence(record=Record(window_ends_at=NOW + DAY)),
    "unassigned": evidence(policy=Policy(checks_in=False, assigned=False)),
    "policy-pending": evidence(policy=Policy(policy_age_s=9000)),
    "autologon-unknown": evidence(policy=Policy(autologon_reported=False, oldest_version=(12, 0))),
    "users-unregistered": evidence(policy=Policy(users_registered=False, oldest_version=(12, 0, 1))),
    "console-rights": evidence(policy=Policy(console_denied=False)),
    "console-sign-in": evidence(policy=Policy(sign_in_fails=False)),
    **{f"refused-{kind.replace('_', '-')}": evidence(refusals={}) for kind in RefusalClass},
}
"""Evidence that nearly fits each rule, and must not."""
