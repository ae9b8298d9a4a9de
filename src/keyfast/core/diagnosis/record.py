"""Rules about what the management server has on record of a machine, and about lockouts and windows ahead."""

from keyfast.core.account import DAY
from keyfast.core.diagnosis.evidence import Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, do, is_value, negated
from keyfast.core.refusal import RefusalClass

SOON_DAYS = 14
WINDOW_LONGEST = 7 * DAY

_SERVER = Source.SERVER
_NO_RECORD = Sign("the server has no record of it", lambda e: negated(e.record.exists), _SERVER)
_DUPLICATE = Sign("another record has the same name, and one of them is old", lambda e: e.record.duplicate, _SERVER)
_ALTERNATING = Sign("one identity is used by several machines in turn", lambda e: e.record.alternating, _SERVER)
_WENT_ON = Sign(
    "the server has check-ins of this identity that this machine has not made",
    lambda e: e.record.went_on,
    Source.MACHINE,
)
_REPLAYED = Sign(
    "the server has said that a number was used before",
    lambda e: None if e.refusals is None else RefusalClass.REPLAYED in e.refusals,
    Source.REFUSALS,
)
_GONE = Sign("its client was removed, or the machine retired", lambda e: e.record.uninstalled, _SERVER)
_BLOCKED = Sign(
    "the machine refuses to start for lack of contact", lambda e: e.record.blocked_before_boot, Source.MACHINE
)
_UNMANAGED = Sign("it lost its server with an upgrade", lambda e: e.record.unmanaged_after_upgrade, Source.MACHINE)


def _lockout_near(evidence: Evidence) -> bool | None:
    at = evidence.record.lockout_at
    return None if at is None else evidence.now < at <= evidence.now + SOON_DAYS * DAY


def _lockout_days(evidence: Evidence) -> str:
    return f"in {max((evidence.record.lockout_at or 0) - evidence.now, 0) // DAY} days"


def _window_open(evidence: Evidence) -> bool | None:
    return None if (end := evidence.record.window_ends_at) is None else end > evidence.now


def _window_missing(evidence: Evidence) -> bool | None:
    return None if (count := evidence.record.window_missing) is None else count > 0


def _clear_clone(evidence: Evidence) -> tuple[Option, ...]:
    keyfast = evidence.product is Product.KEYFAST
    return (
        Option(
            "remove the client's identity from the image, and let the copies join anew",
            Effort.HOURS,
            "none known; nobody is locked out meanwhile",
            "keyfast endpoint list --state clone_suspect" if keyfast else "",
        ),
    )


def _of_two(evidence: Evidence) -> tuple[Option, ...]:
    back = evidence.affected.count
    again = "keyfast-agent check-in" if evidence.product is Product.KEYFAST else ""
    restored = "if it was put back to an older image: let it check in, and it goes on"
    return Option(restored, Effort.MINUTES, "none known", again, back), *_clear_clone(evidence)


RULES = (
    Rule(
        "duplicate-record",
        Stage.RECORD,
        "The record looked at is an old one: the machine has another record of the same name.",
        "Deleted and installed again, or two machines of one name. The one with the old last check-in is dead, and"
        " the machine itself may be well.",
        (_DUPLICATE,),
        do("look at the newer record; delete the stale one, keeping its recovery keys", Effort.MINUTES),
        "All records of that name, with their last check-ins.",
    ),
    Rule(
        "cloned-identity",
        Stage.RECORD,
        "Several machines use one identity: a disk image with the client inside was copied.",
        "They take over each other's record, so that machines appear and vanish.",
        (_ALTERNATING,),
        _clear_clone,
        "Host names and addresses behind the identity, in turn.",
        against=(_DUPLICATE,),
    ),
    Rule(
        "identity-went-on",
        Stage.RECORD,
        "The server has newer check-ins of this identity than this machine has made.",
        "Either the machine was put back to an older image or backup of itself, or a copy of it lives elsewhere. One"
        " machine cannot tell which; the server can, as soon as both have checked in.",
        (_WENT_ON,),
        _of_two,
        "keyfast endpoint show: it names both sides of a fork.",
        base=Confidence.CERTAIN,
        supports=(_REPLAYED,),
    ),
    Rule(
        "retired",
        Stage.RECORD,
        "The machine will not report again: its client was removed or the machine retired.",
        "Removing a client does not remove its record.",
        (_GONE,),
        do("retire the record, and keep its recovery keys", Effort.MINUTES, brings=False),
        "Whether the machine still exists.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "administrators-missing",
        Stage.RECORD,
        "The machine has not got the present client administrators yet: it has not checked in since.",
        "They come with a check-in. Installing again over it does not refresh them.",
        (
            Sign(
                "it has not checked in since the list was changed",
                lambda e: negated(e.record.checked_in_since_change),
                _SERVER,
            ),
        ),
        do("let it check in; mend what keeps it from doing so", Effort.MINUTES, brings=False),
        "The machine's last check-in against the change of the list.",
        weight=Weight.NOTE,
    ),
    Rule(
        "blocked-before-boot",
        Stage.RECORD,
        "The machine is locked before it starts, for lack of contact.",
        "The lockout for machines that do not check in. It turns a reporting outage into locked machines: unlock this"
        " one, then mend why it was silent, and look how many others are near it.",
        (_BLOCKED,),
        do(
            "help-desk unlock at the machine's screen, then mend why it was silent",
            Effort.VISITS,
            "its disk stays encrypted; without a help-desk key only a client administrator can do it",
        ),
        "What the screen before the start says.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "never-checked-in",
        Stage.RECORD,
        "The server has never heard of the machine.",
        "A help desk cannot find it for a response key: only the offline recovery with a challenge key helps there.",
        (_NO_RECORD,),
        do("offline recovery if its disk must be opened; then let it check in", Effort.MINUTES),
        "The name on the machine against the list, and its package.",
        never=(_DUPLICATE,),
    ),
    Rule(
        "became-unmanaged",
        Stage.RECORD,
        "The client lost its server with an upgrade.",
        "The installer could not find the former package, so settings of the server were not carried over.",
        (_UNMANAGED,),
        do("deploy the package for managed clients over it", Effort.HOURS),
        "The client database: is there a server and an account in it?",
    ),
    Rule(
        "lockout-near",
        Stage.RECORD,
        "These machines will be locked for lack of contact within two weeks.",
        "The silence has a deadline. Where it can be lengthened for all, do it before anything else.",
        (Sign("a lockout is ahead", _lockout_near, _SERVER, _lockout_days),),
        do("lengthen or switch off the lockout while the incident lasts", Effort.MINUTES, brings=False),
        "The policy's number of days, and the last check-ins.",
        weight=Weight.LATER,
        base=Confidence.CERTAIN,
        never=(_BLOCKED,),
    ),
    Rule(
        "window-with-missing",
        Stage.RECORD,
        "A recovery window is open, and machines that need it have not come yet.",
        "When it closes, those that were off meanwhile are stranded. They are named: reach them, or open a second one.",
        (
            Sign("a window is open", _window_open, _SERVER),
            Sign("machines are missing", _window_missing, _SERVER, lambda e: f"{e.record.window_missing:,}"),
        ),
        do("reach the missing, or lengthen the window", Effort.HOURS, command="keyfast window show", brings=False),
        "keyfast window list",
        weight=Weight.LATER,
        base=Confidence.CERTAIN,
    ),
    Rule(
        "window-forgotten",
        Stage.RECORD,
        "A recovery window is open for more than a week ahead.",
        "Windows that are forgotten are the real danger of opening one.",
        (
            Sign(
                "its end is more than a week away",
                lambda e: (
                    None if (end := e.record.window_ends_at) is None else bool(end) and end > e.now + WINDOW_LONGEST
                ),
                _SERVER,
            ),
        ),
        do("close it as soon as nobody is missing", Effort.MINUTES, command="keyfast window close", brings=False),
        "keyfast window list",
        weight=Weight.NOTE,
        supports=(Sign("nobody is missing any more", lambda e: is_value(e.record.window_missing, 0), _SERVER),),
    ),
)
