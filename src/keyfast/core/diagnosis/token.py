"""Rules about tokens, and about keys and certificates that will end."""

from keyfast.core.account import DAY
from keyfast.core.diagnosis import signs
from keyfast.core.diagnosis.evidence import Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, by_system, do, negated
from keyfast.core.diagnosis.tls import BY_CLOCK, SET_CLOCK

SOON_DAYS = 30
SKEW_SECONDS = 300
HOUR = 3600

_UNKNOWN_KEY = Sign(
    "the server does not know the key of the token", lambda e: negated(e.token.key_known), Source.SERVER
)
_FOREIGN = Sign("the token is of another installation", lambda e: e.token.foreign, Source.SERVER)
_OUT_OF_TIME = Sign(
    "the times in the token do not fit the server's clock", lambda e: negated(e.token.in_time), Source.SERVER
)
_GOOD = Sign("its signature is good", lambda e: e.token.signature_holds, Source.SERVER)
_SKEWED = Sign(
    "the machine's clock is off by more than five minutes",
    lambda e: None if e.reach.clock_off_s is None else abs(e.reach.clock_off_s) > SKEW_SECONDS,
    Source.MACHINE,
    lambda e: f"{e.reach.clock_off_s} s",
)
_FAR = Sign(
    "it is off by more than an hour, which no slow network explains",
    lambda e: None if e.reach.clock_off_s is None else abs(e.reach.clock_off_s) > HOUR,
    Source.MACHINE,
)
_SKEW_LOGGED = signs.answered(401, 1, frozenset({0x80090324}))


def _restore(evidence: Evidence) -> tuple[Option, ...]:
    command = "keyfast keys import" if evidence.product is Product.KEYFAST else ""
    return (
        Option(
            "bring the former keys of the server back from a backup",
            Effort.HOURS,
            "none known; new keys go on beside them",
            command,
            evidence.affected.count,
        ),
        Option("build a new package on this server and deploy it", Effort.DAYS, "every machine must be reached"),
    )


RULES = (
    Rule(
        "token-key-unknown",
        Stage.TOKEN,
        "The server does not know the key by which the clients' tokens were made.",
        "Keys belong to one installation. A server that was installed anew, or restored without its keys, refuses"
        " every token made before; so does a server that never made them.",
        (_UNKNOWN_KEY,),
        _restore,
        "The key's id in the token against the keys of the server.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "token-foreign",
        Stage.TOKEN,
        "The clients were built by another server.",
        "Two servers share a name, or machines were moved with a package of the former one.",
        (_FOREIGN,),
        do("point the name at the right server, or deploy a package of this one", Effort.HOURS),
        "Which installation the package names.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "clock-skew",
        Stage.TOKEN,
        "The machine's clock is wrong: what it signs or presents may be refused for its time.",
        "Kerberos takes five minutes, tokens little more. A good signature with a wrong time is a clock's fault and no"
        " attack.",
        (_SKEWED,),
        by_system("set the machine's clock, and look why it is not kept", Effort.MINUTES, SET_CLOCK),
        "The machine's clock against a domain controller's.",
        base=Confidence.POSSIBLE,
        proofs=(_SKEW_LOGGED, _OUT_OF_TIME, BY_CLOCK),
        supports=(_FAR,),
        against=(signs.ACCOUNT_SUCCEEDS,),
    ),
    Rule(
        "token-out-of-time",
        Stage.TOKEN,
        "Tokens are refused for their time.",
        "Either the token has ended and cannot be renewed, or one of the two clocks is wrong. One machine: its clock."
        " Everybody: the server's clock, or the end of what was built into the package.",
        (_OUT_OF_TIME,),
        do("compare the clocks; if both are right, deploy a newer package", Effort.MINUTES),
        "The end that the token names, and both clocks.",
        supports=(_GOOD,),
        never=(_SKEWED,),
    ),
    Rule(
        "key-ends-soon",
        Stage.TOKEN,
        "The key or certificate behind these clients' access ends within a month.",
        "When it ends they are refused all at once. While it lives, a newer one can be handed to each at its next"
        " check-in.",
        (
            Sign(
                "it ends soon",
                lambda e: None if (end := e.token.key_ends_at) is None else e.now < end <= e.now + SOON_DAYS * DAY,
                Source.SERVER,
            ),
        ),
        do(
            "rotate it now, while every client still checks in",
            Effort.HOURS,
            command="keyfast keys rotate",
            brings=False,
        ),
        "keyfast keys list",
        weight=Weight.LATER,
        base=Confidence.CERTAIN,
    ),
    Rule(
        "enrolment-ends-soon",
        Stage.TOKEN,
        "The package's enrolment token ends within a month.",
        "Clients that have enrolled do not feel it; machines that are installed later cannot join.",
        (
            Sign(
                "it ends soon",
                lambda e: (
                    None if (end := e.token.enrolment_ends_at) is None else e.now < end <= e.now + SOON_DAYS * DAY
                ),
                Source.SERVER,
            ),
        ),
        do("build a newer package", Effort.MINUTES, command="keyfast package create", brings=False),
        "keyfast package list",
        weight=Weight.LATER,
        base=Confidence.CERTAIN,
    ),
)
