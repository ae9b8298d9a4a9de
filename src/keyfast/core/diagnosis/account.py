"""Rules about the client authentication account, as its directory and the web server's log tell of it."""

from keyfast.core.account import AccountCondition as A
from keyfast.core.diagnosis import signs, ways
from keyfast.core.diagnosis.evidence import Evidence
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, all_of, any_of, negated

_NEVER = (signs.ACCOUNT_SUCCEEDS, signs.NOTHING_CARRIED)
_SLACK = 300
"""Seconds by which clocks of domain controllers and of the web server may differ."""


def says(condition: A, what: str) -> Sign:
    """The directory says so."""

    def holds(evidence: Evidence) -> bool | None:
        return evidence.account.finding(condition) is not None if evidence.account.read else None

    def detail(evidence: Evidence) -> str:
        found = evidence.account.finding(condition)
        return f"{found.sentence}; read at {', '.join(found.servers)}" if found else ""

    return Sign(what, holds, Source.DIRECTORY, detail)


def logged(*codes: int) -> Sign:
    """The web server's log gives one of these Windows errors for logons that it refused."""
    return signs.answered(401, 1, frozenset(codes))


WRONG_PASSWORDS = signs.answered(401, 1, frozenset({1326, 0x8009030C}))


def _state(
    code: str,
    condition: A,
    cause: str,
    about: str,
    codes: tuple[int, ...],
    mend: tuple[str, str, str],
    *,
    against: tuple[Sign, ...] = (),
    supports: tuple[Sign, ...] | None = None,
) -> Rule:
    """A state of the account in which no password of it is taken; the directory's word proves it.

    With ``supports`` it only makes it likely, and each of these surer.
    """
    directory = says(condition, "the directory says so")
    needs = any_of("the account is in this state", directory, *(logged(code) for code in codes))
    recovered = Sign(
        "the directory does not say so, or not any more", lambda e: negated(directory.holds(e)), Source.DIRECTORY
    )
    return Rule(
        code,
        Stage.ACCOUNT,
        cause,
        about,
        (needs,),
        lambda e: ways.mend(e, *mend),
        "The account in Active Directory Users and Computers, tab Account; its security events 4625 and 4740 at the"
        " domain controllers.",
        proofs=() if supports else (directory,),
        supports=supports or (),
        against=(recovered, *against),
        never=_NEVER,
    )


def _set_after_build(evidence: Evidence) -> bool | None:
    account = evidence.account
    if account.reading is None or account.built_at is None or not account.reading.password_set_at:
        return None
    return account.reading.password_set_at > account.built_at


def _set_before_build(evidence: Evidence) -> bool | None:
    return negated(_set_after_build(evidence))


def _began_with_change(evidence: Evidence) -> bool | None:
    lag = _lag(evidence)
    if lag is None:
        return None
    slack = _SLACK + evidence.since_width_s
    return -slack <= lag <= evidence.account.grace_s + slack


def _change_detail(evidence: Evidence) -> str:
    changed = evidence.account.finding(A.CHANGED)
    return changed.sentence if changed else ""


def _lag(evidence: Evidence) -> int | None:
    reading, since = evidence.account.reading, evidence.since
    return since - reading.password_set_at if reading and reading.password_set_at and since else None


def _lag_detail(evidence: Evidence) -> str:
    lag = _lag(evidence)
    return "" if lag is None else f"{abs(lag) // 60} minutes {'after' if lag >= 0 else 'before'} it"


AFTER_BUILD = Sign("the password was set after the package was built", _set_after_build, Source.BUILT, _change_detail)
BEFORE_BUILD = Sign("the password has not been set since the package was built", _set_before_build, Source.BUILT)
BEGAN_WITH_CHANGE = Sign("the silence began when the password was set", _began_with_change, Source.LOG, _lag_detail)
LATE = Sign(
    "the silence began well after the change, and within the hour for which NTLM takes the previous password",
    lambda e: None if (lag := _lag(e)) is None else _SLACK + e.since_width_s < lag <= e.account.grace_s + _SLACK,
    Source.LOG,
    _lag_detail,
)


def _some(evidence: Evidence) -> bool | None:
    granted, answers = evidence.http.granted, evidence.http.answers
    return None if granted is None or answers is None else granted > 0 and bool(answers)


def _nothing(_: Evidence) -> tuple[Option, ...]:
    return ()


def _waiting(_: Evidence) -> tuple[Option, ...]:
    return (
        Option(
            "wait for replication, or force it",
            Effort.MINUTES,
            "none; where the newer password is the wrong one, more machines fall silent",
            "repadmin /syncall /AdeP",
        ),
    )


RULES = (
    _state(
        "account-missing",
        A.MISSING,
        "The directory has no account {account}: it was deleted, renamed, or moved to another domain.",
        "Clients carry the name of the account with its password. A new account of the same name with the same"
        " password works again, since clients send a name and not an identifier. The reader may also lack the right"
        " to see it: look from an administrator's seat before anything is made anew.",
        (),
        (
            "restore the deleted account, or make one of the same name with the password of the packages",
            "Get-ADObject -Filter {sAMAccountName -eq NAME} -IncludeDeletedObjects | Restore-ADObject",
            "a restored account keeps its password only where the AD recycle bin was on; a new one needs the password",
        ),
        supports=(WRONG_PASSWORDS,),  # a reader without the right to see the account finds none either
    ),
    _state(
        "account-disabled",
        A.DISABLED,
        "The account {account} is disabled.",
        "Clean-up jobs switch off accounts that look unused, and this one never logs on to a computer. Find out who"
        " did it, or it happens again.",
        (1331,),
        ("enable the account", "Enable-ADAccount -Identity NAME", "whatever disabled it may do so again"),
    ),
    _state(
        "account-expired",
        A.ACCOUNT_EXPIRED,
        "The account {account} has expired (the account itself, not its password).",
        "An end date was set when it was made. The password is still the right one.",
        (1793,),
        ("remove the account's end date", "Clear-ADAccountExpiration -Identity NAME", "none known"),
    ),
    _state(
        "password-expired",
        A.EXPIRED,
        "The password of {account} has expired.",
        "The account was not set to 'password never expires', and the policy's maximum age has passed. The password"
        " in the packages is still the account's: it is only not taken.",
        (1330,),
        (
            "let the password never expire: the present one is taken again at once",
            "Set-ADUser -Identity NAME -PasswordNeverExpires $true",
            "an exception from the password policy, until the clients use OAuth",
        ),
    ),
    _state(
        "password-must-change",
        A.MUST_CHANGE,
        "The account {account} must change its password at the next logon, which no client can do.",
        "Somebody reset the password and left the tick where the console puts it, or ticked it alone. After a reset"
        " the password is also another one: then password-changed holds too.",
        (1907,),
        (
            "clear 'user must change password at next logon'",
            "Set-ADUser -Identity NAME -ChangePasswordAtLogon $false",
            "if the password was reset at the same time, machines still carry the former one",
        ),
    ),
    Rule(
        "password-changed",
        Stage.ACCOUNT,
        "The password of {account} was changed after the clients were given it.",
        "The classic: the password is built into every client, so all of them are refused from then on. Domain"
        " controllers take the previous password over NTLM for an hour after a change, so failures may begin up to an"
        " hour after it, and not everywhere at once. 'Wrong password' alone proves nothing: domain controllers answer"
        " it for a missing account too, and before most other reasons.",
        (any_of("the clients have an older password", AFTER_BUILD, BEGAN_WITH_CHANGE),),
        ways.new_password,
        "pwdLastSet of the account against the date of the client package; event 4724 (reset) or 4723 (change) at the"
        " domain controllers names who did it.",
        proofs=(
            all_of("it was the change", AFTER_BUILD, BEGAN_WITH_CHANGE),
            all_of("the clients' password is refused since", AFTER_BUILD, WRONG_PASSWORDS),
        ),
        never=(*_NEVER, BEFORE_BUILD),
    ),
    _state(
        "account-locked",
        A.LOCKED,
        "The account {account} is locked out after wrong passwords.",
        "Somebody sends wrong passwords: clients with an old one, another service that uses the account, or an"
        " attack. Where the password was changed, unlocking helps for minutes only: the clients lock it again.",
        (1909,),
        (
            "unlock the account, and find what sends wrong passwords (event 4740 names the computer)",
            "Unlock-ADAccount -Identity NAME",
            "it is locked again while wrong passwords keep coming",
        ),
        against=(AFTER_BUILD,),
    ),
    Rule(
        "password-grace",
        Stage.ACCOUNT,
        "Failures began later than the change of the password: domain controllers take the previous one for an hour.",
        "Over NTLM and simple binds Active Directory takes the previous password for 60 minutes after a change"
        " (OldPasswordAllowedPeriod), over Kerberos not at all. So date the cause at the change, not at the first"
        " failure, and do not be reassured by clients that still get through.",
        (LATE,),
        _nothing,
        "pwdLastSet of the account against the first refusal in the web server's log.",
        weight=Weight.NOTE,
        never=(BEFORE_BUILD,),
    ),
    Rule(
        "password-replicating",
        Stage.ACCOUNT,
        "Domain controllers do not agree on the password of {account}: some have an older one.",
        "After a change some sites fail first and others later, until every domain controller has the new password."
        " If it does not pass within an hour, replication is broken, or a domain controller was restored.",
        (says(A.LAGGING, "domain controllers differ"),),
        _waiting,
        "repadmin /showrepl, and pwdLastSet at each domain controller.",
        base=Confidence.POSSIBLE,
        supports=(
            Sign("only some sites are silent", lambda e: e.reach.site_silent, Source.SERVER),
            Sign("some logons succeed", _some, Source.LOG),
        ),
        never=(signs.NOTHING_CARRIED,),
    ),
    Rule(
        "logon-restricted",
        Stage.ACCOUNT,
        "Logons of {account} are restricted to hours or computers.",
        "Clients log on at any hour and from everywhere. Allowed hours make them fall silent in the evening and come"
        " back in the morning; a list of computers lets in those on it, over NTLM.",
        (
            any_of(
                "the account is restricted",
                says(A.RESTRICTED, "the directory says so"),
                logged(1328, 1329),
            ),
        ),
        lambda e: ways.mend(
            e,
            "remove the restriction",
            "Set-ADUser -Identity NAME -Clear logonHours,userWorkstations",
            "none known; the account can do nothing but report in",
        ),
        "Tab Account, buttons Logon Hours and Log On To.",
        proofs=(logged(1328, 1329),),
        against=(AFTER_BUILD,),
        never=_NEVER,
    ),
    Rule(
        "wrong-password",
        Stage.ACCOUNT,
        "The web server refuses the password that the clients send for {account}.",
        "It is known that the password is refused, and not why: the account was not read, or looks well. A wrong"
        " password, a missing account and some restrictions look the same from here.",
        (WRONG_PASSWORDS, signs.answered_always(401)),
        ways.new_password,
        "The account in the directory (--ad), and when the package was built (--built-at).",
        base=Confidence.POSSIBLE,
        never=(*_NEVER, AFTER_BUILD, BEGAN_WITH_CHANGE),
    ),
)
