"""What is looked at on a server before anybody blames the endpoints. Pure; times are unix seconds."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from keyfast.core.account import DAY
from keyfast.core.account_verdict import span
from keyfast.core.mode import Mode, Modes
from keyfast.core.visible import visible

STALE_NODE = 300
"""Seconds after which a node that says nothing any more is worth a question; it speaks each minute."""
LATE_ROLL_CALLS = 3
SOON_DAYS = 30


class CheckState(StrEnum):
    """How it was found."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


S = CheckState


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    state: CheckState
    sentence: str


class Seen(msgspec.Struct, frozen=True):
    """What was seen.

    Attributes:
        now: when.
        directory: domain controllers, and since when each could not be read (0: it was read).
        certificate_ends_at: of the server's certificate, None if it could not be read.
        trusted: the authority that endpoints are told to trust signed it, None if that is not known.
        nodes: when each said last what it accepts.
        modes: that are open.
        holders: endpoints by mode.
        counted_at: the last roll call, 0 for none; ``roll_call_s`` is the time between two.
        check_ins, refusals: of the last hour.
        restored_at: since when it is known that this server went back in time, 0 for not.
    """

    now: int
    directory: Mapping[str, int] = {}
    certificate_ends_at: int | None = None
    trusted: bool | None = None
    nodes: Mapping[str, int] = {}
    modes: Modes = Modes(frozenset())
    holders: Mapping[str, int] = {}
    counted_at: int = 0
    roll_call_s: int = 300
    check_ins: int = 0
    refusals: Mapping[str, int] = {}
    restored_at: int = 0


def checks(seen: Seen) -> tuple[Check, ...]:
    """Judge everything that was seen, in the order in which a check-in meets it."""
    return (
        Check("database", S.GOOD, "it answers"),
        *_nodes(seen),
        _certificate(seen),
        *_modes(seen),
        *_directory(seen),
        _restored(seen),
        _roll_call(seen),
        _traffic(seen),
    )


def _nodes(seen: Seen) -> Iterator[Check]:
    if not seen.nodes:
        yield Check("nodes", S.BAD, "no process says that endpoints can speak to it: is keyfast server run running?")
    for name, at in sorted(seen.nodes.items()):
        late = seen.now - at
        if late > STALE_NODE:
            yield Check(
                f"node {name}", S.BAD, f"it has said nothing for {span(late)}; if it is gone for good: forget it"
            )
        else:
            yield Check(f"node {name}", S.GOOD, "it serves")


def _certificate(seen: Seen) -> Check:
    ends_at = seen.certificate_ends_at
    if ends_at is None:
        return Check("certificate", S.UNKNOWN, "the server's certificate cannot be read here")
    if ends_at <= seen.now:
        return Check("certificate", S.BAD, f"it ended {span(seen.now - ends_at)} ago: no endpoint trusts the server")
    if seen.trusted is False:
        return Check("certificate", S.BAD, "it is not signed by the authority that endpoints are told to trust")
    days = (ends_at - seen.now) // DAY
    return Check("certificate", S.GOOD, f"it is good for {days:,} days" + (": renew it" if days < SOON_DAYS else ""))


def _modes(seen: Seen) -> Iterator[Check]:
    for name, count in sorted(seen.holders.items()):
        opened = seen.modes.anywhere(Mode(name))
        state, told = (S.GOOD, "open") if opened else (S.BAD, "closed for everybody")
        yield Check(f"mode {name}", state, f"{told}; {count:,} endpoints use it")


def _directory(seen: Seen) -> Iterator[Check]:
    for name, since in sorted(seen.directory.items()):
        told = f"it could not be read for {span(seen.now - since)}" if since else "it was read"
        yield Check(f"directory {visible(name)}", S.BAD if since else S.GOOD, told)


def _restored(seen: Seen) -> Check:
    if seen.restored_at:
        return Check("history", S.BAD, "this server went back in time: it was restored, and learns from its endpoints")
    return Check("history", S.GOOD, "no endpoint knows more than this server")


def _roll_call(seen: Seen) -> Check:
    if not seen.counted_at:
        return Check("roll call", S.UNKNOWN, "none was made yet")
    late = seen.now - seen.counted_at
    if late > LATE_ROLL_CALLS * seen.roll_call_s:
        return Check("roll call", S.BAD, f"the last one began {span(late)} ago: what is said of silence is old")
    return Check("roll call", S.GOOD, f"the last one began {span(late)} ago")


def _traffic(seen: Seen) -> Check:
    refusals: Sequence[tuple[str, int]] = sorted(seen.refusals.items(), key=lambda item: -item[1])
    told = ", ".join(f"{kind} {count:,}" for kind, count in refusals) or "none"
    sentence = f"{seen.check_ins:,} check-ins in an hour; refusals: {told}"
    return Check("traffic", S.GOOD if seen.check_ins or not seen.refusals else S.BAD, sentence)
