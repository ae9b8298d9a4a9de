"""The worlds that are searched, and the variants: the design without one of its rules, or without two."""

from dataclasses import dataclass, field

from tests.model.moves import Bounds
from tests.model.rules import Rules

from keyfast.agent.recovery import REFUSED as ASKS
from keyfast.core import logon
from keyfast.core import rotation_guards as guards
from keyfast.core.change import ChangeEvent
from keyfast.core.recovery import Caller
from keyfast.core.refusal import Refusal, RefusalClass

AB = (("account", "A", "B"),)
ALL_KINDS = (("account", "A", "B"), ("hasty", "A", "B"), ("recovery", "A", "B"))
FORWARD = ("started", "retired", "finished")

BACK = (*FORWARD, "rolled_back")
AT_ONCE = {"kinds": AB, "stepwise": False}
COARSE = {**AT_ONCE, "lost": False}

WORLDS: dict[str, Bounds] = {
    "joining": Bounds(enrolled=False, expires=True),
    "keys": Bounds(enrolled=False, backup=True, image=True, expires=True, renewal=True),
    "keys, no restore": Bounds(enrolled=False, image=True, expires=True, renewal=True),
    "password": Bounds(changes=1),
    "password, lagging controller": Bounds(lag=True),
    "password, restore": Bounds(changes=1, backup=True, lost=False),
    "rotation": Bounds(kinds=ALL_KINDS, lost=False),
    "rotation, answers lost": Bounds(**AT_ONCE, acts=(*FORWARD, "hastened")),
    "rotation, power cut": Bounds(kinds=AB, lost=False, power_cuts=True),
    "rotation, replay": Bounds(**COARSE, replays=True, acts=FORWARD),
    "rotation, bad target": Bounds(**COARSE, changes=1, accounts=("B",), early=True),
    "rotation, target changed": Bounds(**COARSE, changes=1, accounts=("B",), acts=FORWARD),
    "rotation, image": Bounds(**COARSE, image=True, acts=BACK),
    "rotation, restore": Bounds(**COARSE, backup=True, acts=FORWARD),
    "password of the pair": Bounds(kinds=(("password", "B", "A"),), lost=False),
    "both ways": Bounds(kinds=(*AB, ("password", "B", "A")), rotations=2, lost=False, stepwise=False),
    "two endpoints": Bounds(endpoints=2, **COARSE, acts=FORWARD),
    "to OAuth": Bounds(kinds=(("oauth", "", ""),), lost=False),
    "to OAuth, restore": Bounds(kinds=(("oauth", "", ""),), lost=False, backup=True, stepwise=False, acts=FORWARD),
}
"""Small ones, searched with every run of the tests."""

LARGE: dict[str, Bounds] = {
    "password twice, image": Bounds(changes=2, image=True, lost=False),
    "password, messages lost, restore": Bounds(changes=1, backup=True),
    "rotation, every act, messages lost": Bounds(**AT_ONCE),
    "rotation, every act, restore": Bounds(**COARSE, backup=True),
    "rotation, every act, image": Bounds(kinds=AB, lost=False, image=True),
    "rotation, effect by effect, target changed": Bounds(kinds=AB, lost=False, changes=1, accounts=("B",), acts=BACK),
    "two endpoints, every act": Bounds(endpoints=2, **COARSE),
    "to OAuth, image": Bounds(kinds=(("oauth", "", ""),), lost=False, image=True),
    "password twice, restore": Bounds(changes=2, backup=True, lost=False),
}
"""Those take up to half a minute each."""


def nobody(call) -> Refusal:
    """No recovery by a device key."""
    return Refusal(RefusalClass.UNAUTHENTICATED)


def stale(standing, configured, now):
    """A generation that is not on record is refused like a stale one."""
    said = logon.offer(standing, configured, now)
    return logon.refused(standing, logon.Logon.WRONG_PASSWORD) if standing.state is None else said


def stays(missed: int, refusal: str = "") -> ChangeEvent:
    """An access that fails is never given up."""
    return ChangeEvent.MISSED


def in_use_only(caller, *, recovering: bool) -> bool:
    """A former key is good for nothing new."""
    return caller is Caller.CURRENT


def always(*args, **kwargs) -> bool:
    return True


NO_RECOVERY = {"recover": nobody}


@dataclass(frozen=True)
class Variant:
    """The design without something.

    Attributes:
        title: what is missing.
        world: where.
        without: members of Rules.
        cover: what else keeps endpoints from being stranded, if anything does: title and members of Rules. Then
            nobody is stranded without the one, nor without the other, and somebody is without both.
    """

    title: str
    world: str
    without: dict = field(default_factory=dict)
    cover: tuple[str, dict] | None = None


BY_KEY = ("recovery by the device key", NO_RECOVERY)
NO_PROOF = frozenset({guards.everyone_moved, guards.wave_proven})

VARIANTS = (
    Variant("no recovery by the device key", "password", NO_RECOVERY),
    Variant("no recovery by the device key: image rolled back", "rotation, image", NO_RECOVERY),
    Variant("no recovery by the device key: going back unseen", "rotation, answers lost", NO_RECOVERY),
    Variant("no receipts", "keys", {"receipts": False}),
    Variant("registration is not idempotent", "joining", {"idempotent_registration": False}),
    Variant(
        "the server forgets superseded keys",
        "keys, no restore",
        {"server_keeps_older_keys": False},
        ("the receipt, which names the key", {"receipts": False}),
    ),
    Variant("a former key may not vouch for a new one", "keys, no restore", {"vouches": in_use_only}),
    Variant("a superseded key asks for nothing", "keys, no restore", {"asks_after": ASKS - {"key_superseded"}}),
    Variant("the endpoint drops its old key", "keys", {"endpoint_keeps_older_keys": False}),
    Variant("no resynchronisation of report numbers", "keys", {"resyncs": False}),
    Variant("an unknown device deletes its keys", "keys", {"keeps_keys_when_unknown": False}),
    Variant(
        "a refusal deletes the credential", "password, lagging controller", {"keeps_what_is_refused": False}, BY_KEY
    ),
    Variant("a generation above the newest on record is stale", "password, restore", {"offer": stale}),
    Variant("retired without proofs", "rotation", {"without_guards": NO_PROOF}, BY_KEY),
    Variant(
        "the password of an account in use is changed",
        "password of the pair",
        {"without_guards": frozenset({guards.account_unused, guards.account_settled})},
        BY_KEY,
    ),
    Variant("flipped before the record is flushed", "rotation, power cut", {"flushes_before_flip": False}),
    Variant(
        "committed without a probe",
        "rotation, bad target",
        {"probes": False},
        ("going back to the previous access", {"after_failed_visit": stays}),
    ),
    Variant("only the access in use is tried", "rotation, target changed", {"after_failed_visit": stays}),
    Variant("a rotation gives the generation it began with", "rotation, target changed", {"targets_newest": False}),
    Variant("the order of changes is not checked", "rotation, replay", {"takes": always}, BY_KEY),
    Variant(
        "a statement is sent again unchanged for ever", "password, messages lost, restore", {"statements_expire": False}
    ),
    Variant(
        "a server does not notice that it was restored",
        "to OAuth, restore",
        {"server_notices": False},
    ),
)


def rules_of(variant: Variant, *, cover: bool = False, only_cover: bool = False) -> Rules:
    return Rules(**({} if only_cover else variant.without), **(variant.cover[1] if cover and variant.cover else {}))
