"""Rules about the way of authenticating: what the server offers against what the clients have."""

from keyfast.core.diagnosis import signs, ways
from keyfast.core.diagnosis.evidence import Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, do

_ALIAS = Sign("the clients reach it by a load balancer or an alias", lambda e: e.http.through_alias, Source.SERVER)
_ANONYMOUS = Sign(
    "most requests that succeed have no name in the log",
    lambda e: e.http.anonymous_open,
    Source.LOG,
)
_WRONG_PRINCIPAL = signs.answered(401, 1, frozenset({0x80090322}))


def _open(evidence: Evidence) -> tuple[Option, ...]:
    command = "keyfast mode open windows" if evidence.product is Product.KEYFAST else ways.windows(on=True)
    return (
        Option(
            "switch the mode on again that the clients use",
            Effort.MINUTES,
            "none known; it was on before",
            command,
            evidence.affected.count,
        ),
        *ways.leave(evidence),
    )


def _close(evidence: Evidence) -> tuple[Option, ...]:
    command = "keyfast mode list" if evidence.product is Product.KEYFAST else ways.anonymous(on=False)
    return (
        Option(
            "when all clients have proven their new access, switch Windows on and Anonymous off",
            Effort.MINUTES,
            "clients that have not taken the new access are refused from then on",
            command,
        ),
    )


RULES = (
    Rule(
        "mode-not-offered",
        Stage.MODE,
        "The server does not offer the way of authenticating that the clients use.",
        "401.2 with nothing after it. A single 401.2 before a success is the usual challenge and no fault. Windows"
        " authentication was switched off, perhaps with the end of an Anonymous window.",
        (signs.answered(401, 2),),
        _open,
        "The authentication settings of the web service in IIS.",
        base=Confidence.POSSIBLE,
        proofs=(signs.answered_always(401, 2),),
        supports=(signs.answered_mostly(401, 2),),
    ),
    Rule(
        "kerberos-name-missing",
        Stage.MODE,
        "Kerberos tickets are made out to a name that the server cannot open.",
        "By an alias or a load balancer, a ticket is for the virtual name. Without a service principal name on the"
        " account that runs the service, or with one on two accounts, logons fail or fall back to NTLM.",
        (signs.answered(401, 1), _ALIAS),
        do(
            "register the alias for the account that runs the web service, once",
            Effort.MINUTES,
            "a name registered twice breaks both",
            "setspn -S HTTP/ALIAS DOMAIN\\SERVICE-ACCOUNT",
        ),
        "setspn -Q HTTP/ALIAS, and a capture of one logon.",
        base=Confidence.POSSIBLE,
        proofs=(_WRONG_PRINCIPAL,),
        never=(signs.ACCOUNT_SUCCEEDS,),
    ),
    Rule(
        "anonymous-open",
        Stage.MODE,
        "Anonymous access seems to be open.",
        "While it is, no client is challenged: success proves that the door is open and nothing about a password. A"
        " window that is forgotten is the real danger.",
        (_ANONYMOUS,),
        _close,
        "The authentication settings of the web service in IIS. Pages for people may be anonymous by design.",
        weight=Weight.NOTE,
    ),
)
