"""Messages of the admin API about the audit trail; records and heads themselves are those of ``core.audit``."""

from keyfast.core.audit import Broken, Entry, Fault, Head
from keyfast.core.audit_keep import FILE, told_by
from keyfast.wire.admin import View

UPTO_HEADER = "keyfast-audit-upto"
"""Carries the number of the last record of an export."""

_SENTENCES = {
    Fault.MISSING: "record {0} is missing",
    Fault.CHANGED: "record {0} was changed, or the hash of the one before it was made anew",
    Fault.OUT_OF_ORDER: "record {0} is out of order",
    Fault.NOT_AS_SEALED: "record {0}, or one before it, is not what it was when the server sealed the trail",
    Fault.NOT_IN_HEAD: "record {0} lies behind the head, which was set back",
    Fault.NOT_THE_BEGINNING: "the trail begins with record {0}, and the server did not seal that it does",
    Fault.BEFORE_THE_BEGINNING: "something lies before record {0}, with which the trail begins",
}


class TrailHead(View, frozen=True):
    """The end of the trail.

    Attributes:
        installation: whose trail it is.
        number: of the last record, 0 if there is none.
        hash: of the last record.
        at: when this was said, in unix seconds.
    """

    installation: str
    number: int
    hash: str
    at: int


class Beginning(View, frozen=True):
    """Where a trail begins whose front was removed.

    Attributes:
        after: the last record that was removed.
        record: number of the record that tells of it, 0 if it is not there.
        at: when it was removed, in unix seconds; 0 if that is not known.
        by: who removed it; empty if that is not known.
        file: name of the file that it was written to; empty for none.
    """

    after: Head
    record: int
    at: int = 0
    by: str = ""
    file: str = ""


class Verified(View, frozen=True):
    """How far a verification has come.

    Attributes:
        upto: the last record that fits.
        last: number of the last record of the trail.
        sealed: the last record of this stretch that a seal of the server vouches for, 0 for none.
        done: nothing is left to verify.
        broken: number of the first record that does not fit, 0 if all do.
        fault: what is wrong with it: ``missing``, ``changed``, ``out of order``, ``not in the head``,
            ``not as sealed``, ``not the beginning`` or ``before the beginning``.
        sentence: the same for people.
        beginning: where it begins, if its front was removed.
    """

    upto: Head
    last: int
    done: bool
    sealed: int = 0
    broken: int = 0
    fault: str = ""
    sentence: str = ""
    beginning: Beginning | None = None


def broken_view(upto: Head, last: int, broken: Broken, beginning: Beginning | None = None) -> Verified:
    """Tell where a trail breaks."""
    told, fault = _SENTENCES[broken.fault].format(broken.number), broken.fault.value
    return Verified(upto, last, done=True, broken=broken.number, fault=fault, sentence=told, beginning=beginning)


def beginning_view(after: Head, record: int, entry: Entry | None) -> Beginning:
    """Tell where a trail begins; ``entry`` is the record that tells of it, None if it is not there."""
    if entry is None or told_by(entry) != after:
        return Beginning(after, record if entry is not None else 0)
    found = entry.record
    return Beginning(after, found.number, found.at, found.actor, found.detail.get(FILE, ""))
