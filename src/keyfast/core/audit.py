"""The audit trail: who did what, one record after the other, each chained to all before it.

A record is hashed together with the hash of the one before: whoever changes, drops, inserts or swaps one has
to make every later hash anew, up to the head, and whoever has kept a head elsewhere still notices.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

LONGEST = 512
"""Most characters of a text in a record; what is longer is cut and ends in an ellipsis."""
_DOMAIN = b"keyfast audit 1\0"


class Via(StrEnum):
    """Where an act came from."""

    LOCAL_SOCKET = "local socket"
    HTTPS = "https"
    SERVER = "server"


class Outcome(StrEnum):
    """What became of an act."""

    DONE = "done"
    REFUSED = "refused"


class Actor(msgspec.Struct, frozen=True):
    """Who acts.

    Attributes:
        name: of a person, or ``keyfast`` for what the server does by itself.
        via: where the act came from.
        role: of the person, empty where that is not known.
        request: id of the request, the same for everything that it did; empty for none.
        reason: why, in their own words; empty where nobody asked for it.
    """

    name: str
    via: Via
    role: str = ""
    request: str = ""
    reason: str = ""


class Act(msgspec.Struct, frozen=True):
    """What is to be put on record, not numbered yet (``at`` in unix seconds); texts are as ``plain`` leaves them."""

    at: int
    actor: Actor
    action: str
    subject_kind: str
    subject: str
    detail: dict[str, str]
    outcome: Outcome = Outcome.DONE


class AuditRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record of the trail (``at`` in unix seconds).

    Attributes:
        number: 1 for the first, then without a gap.
        action: a name of ``core.audit_actions``.
        subject_kind: what kind of thing it was done to.
        subject: id or name of that, empty for the installation as a whole.
        detail: particulars that the table of actions allows.
        request: see ``Actor``.
    """

    number: int
    at: int
    actor: str
    role: str
    via: str
    action: str
    subject_kind: str
    subject: str
    detail: dict[str, str]
    outcome: str
    request: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record with the hash (hexadecimal) that chains it to those before."""

    record: AuditRecord
    hash: str


class Head(msgspec.Struct, frozen=True):
    """The end of a trail: number and hash (hexadecimal) of its last record; number 0 before there is any."""

    number: int
    hash: str


class Fault(StrEnum):
    """What is wrong with the first record that does not fit."""

    MISSING = "missing"
    CHANGED = "changed"
    OUT_OF_ORDER = "out of order"
    NOT_IN_HEAD = "not in the head"
    NOT_AS_SEALED = "not as sealed"
    NOT_THE_BEGINNING = "not the beginning"
    BEFORE_THE_BEGINNING = "before the beginning"


class Broken(msgspec.Struct, frozen=True):
    """Where a trail breaks first, and how."""

    number: int
    fault: Fault


def genesis(installation: str) -> Head:
    """Return what the first record is chained to; records of another installation do not fit."""
    return Head(0, hashlib.sha256(_DOMAIN + installation.encode()).hexdigest())


def canonical(record: AuditRecord) -> bytes:
    """Return the bytes that are hashed: JSON without white space, members sorted, UTF-8 (as in RFC 8785)."""
    return msgspec.json.encode(record, order="sorted")


def chained(before: Head, record: AuditRecord) -> Entry:
    """Chain a record to the end of a trail."""
    sealed = hashlib.sha256(_DOMAIN + bytes.fromhex(before.hash) + canonical(record))
    return Entry(record, sealed.hexdigest())


def appended(before: Head, act: Act) -> Entry:
    """Make the next record of a trail."""
    actor = act.actor
    record = AuditRecord(
        number=before.number + 1,
        at=act.at,
        actor=plain(actor.name),
        role=plain(actor.role),
        via=actor.via.value,
        action=act.action,
        subject_kind=act.subject_kind,
        subject=act.subject,
        detail=act.detail,
        outcome=act.outcome.value,
        request=plain(actor.request),
    )
    return chained(before, record)


def end_of(entry: Entry) -> Head:
    """Return the end of a trail whose last record this is."""
    return Head(entry.record.number, entry.hash)


def follow(before: Head, entries: Iterable[Entry]) -> Head | Broken:
    """Verify records that come next in a trail; returns its new end, or where it breaks first."""
    for entry in entries:
        number, due = entry.record.number, before.number + 1
        if number > due:
            return Broken(due, Fault.MISSING)
        if number < due:
            return Broken(number, Fault.OUT_OF_ORDER)
        if chained(before, entry.record).hash != entry.hash:
            return Broken(number, Fault.CHANGED)
        before = end_of(entry)
    return before


def compared(found: Head, expected: Head) -> Broken | None:
    """Compare the end that was found with a head that was kept; None if they are the same."""
    if found.number < expected.number:
        return Broken(found.number + 1, Fault.MISSING)
    if found.number > expected.number:
        return Broken(expected.number + 1, Fault.NOT_IN_HEAD)
    return None if found.hash == expected.hash else Broken(found.number, Fault.CHANGED)


def picked(detail: Mapping[str, Any], fields: Iterable[str]) -> dict[str, str]:
    """Take the particulars that are allowed, as texts; what is not there or empty is left out."""
    told = {name: _text(detail[name]) for name in fields if name in detail}
    return {name: text for name, text in told.items() if text}


def plain(text: str) -> str:
    """Return a text that every store and every format can hold: bounded, without NUL and lone surrogates."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return cut.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(value: Any) -> str:
    if value is None or value is False or value == "":
        return ""
    if value is True:
        return "yes"
    return plain(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
