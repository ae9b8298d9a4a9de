"""What will silence machines that check in today: the account's own future. Keys and certificates have theirs."""

from keyfast.core.account import AccountCondition as A
from keyfast.core.diagnosis import ways
from keyfast.core.diagnosis.account import says
from keyfast.core.diagnosis.evidence import Evidence
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source

_UNREAD = Sign(
    "domain controllers could not be read",
    lambda e: None if e.account.verdict is None else e.account.finding(A.UNREADABLE) is not None,
    Source.DIRECTORY,
    lambda e: found.sentence if (found := e.account.finding(A.UNREADABLE)) else "",
)


def _ahead(code: str, condition: A, cause: str, about: str, sentence: str, command: str, weight: Weight) -> Rule:
    def options(evidence: Evidence) -> tuple[Option, ...]:
        return (Option(sentence, Effort.MINUTES, "none known", command.replace("NAME", ways.name_of(evidence))),)

    return Rule(
        code,
        Stage.ACCOUNT,
        cause,
        about,
        (_UNREAD if condition is A.UNREADABLE else says(condition, "the directory says so"),),
        options,
        "The account in Active Directory Users and Computers.",
        weight=weight,
        base=Confidence.CERTAIN,
    )


_NEVER_EXPIRES = "Set-ADUser -Identity NAME -PasswordNeverExpires $true"

RULES = (
    _ahead(
        "password-expires-soon",
        A.EXPIRES_SOON,
        "The password of {account} expires within a month.",
        "On that day every client that carries it falls silent.",
        "let it never expire until the clients use OAuth",
        _NEVER_EXPIRES,
        Weight.LATER,
    ),
    _ahead(
        "account-expires-soon",
        A.ACCOUNT_EXPIRES_SOON,
        "The account {account} itself expires within a month.",
        "It has an end date. On that day every client that carries it falls silent.",
        "remove the end date",
        "Clear-ADAccountExpiration -Identity NAME",
        Weight.LATER,
    ),
    _ahead(
        "password-may-expire",
        A.MAY_EXPIRE,
        "The password of {account} will expire one day: 'password never expires' is not set.",
        "A service account whose password cannot be changed without touching every client must not expire by policy.",
        "let it never expire until the clients use OAuth",
        _NEVER_EXPIRES,
        Weight.LATER,
    ),
    _ahead(
        "lockout-possible",
        A.LOCKOUT_POSSIBLE,
        "Wrong passwords can lock {account}, and with it every client.",
        "Anybody who can reach a domain controller can lock it. After a change clients with one of the two former"
        " passwords are not counted over NTLM; clients with an older one are.",
        "give it a password policy of its own without a lockout",
        "New-ADFineGrainedPasswordPolicy -LockoutThreshold 0 -Name SEE -Precedence 10",
        Weight.NOTE,
    ),
    _ahead(
        "wrong-passwords",
        A.BAD_PASSWORDS,
        "Domain controllers count wrong passwords for {account}.",
        "Something tries an old or wrong one. A count may be old: it stays until the next good logon.",
        "find the computer that sends them: event 4771 or 4776 at the domain controllers",
        "Get-ADUser -Identity NAME -Properties badPwdCount,LastBadPasswordAttempt",
        Weight.NOTE,
    ),
    _ahead(
        "over-privileged",
        A.OVER_PRIVILEGED,
        "The account {account} may do more than an ordinary user.",
        "Its password is on every client, and whoever takes it from one has these rights.",
        "take it out of those groups: Domain Users is enough",
        "Get-ADPrincipalGroupMembership -Identity NAME",
        Weight.NOTE,
    ),
    _ahead(
        "personal-account",
        A.PERSONAL,
        "The account {account} looks like a person's.",
        "A person changes the password, or leaves.",
        "use an account that serves nothing else",
        "",
        Weight.NOTE,
    ),
    _ahead(
        "directory-unreadable",
        A.UNREADABLE,
        "Some domain controllers could not be read.",
        "What is said of the account comes from the others; with none of them nothing is said.",
        "check the connection and the account that reads",
        "",
        Weight.NOTE,
    ),
)
