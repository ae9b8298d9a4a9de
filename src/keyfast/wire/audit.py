"""Messages of the admin API about the audit trail; records and heads themselves are those of ``core.audit``."""

from keyfast.core.audit import Broken, Fault, Head
from keyfast.wire.admin import View

UPTO_HEADER = "keyfast-audit-upto"
"""Carries the number of the last record of an export."""

_SENTENCES = {
    Fault.MISSING: "record {0} is missing",
    Fault.CHANGED: "record {0} was changed, or the hash of the one before it was made anew",
    Fault.OUT_OF_ORDER: "record {0} is out of order",
    Fault.NOT_AS_SEALED: "record {0}, or one before it, is not what it was when the server sealed the trail",
    Fault.NOT_IN_HEAD: "record {0} lies behind the head, which was set back",
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


class Verified(View, frozen=True):
    """How far a verification has come.

    Attributes:
        upto: the last record that fits.
        last: number of the last record of the trail.
        sealed: the last record of this stretch that a seal of the server vouches for, 0 for none.
        done: nothing is left to verify.
        broken: number of the first record that does not fit, 0 if all do.
        fault: what is wrong with it: ``missing``, ``changed``, ``out of order``, ``not in the head`` or
            ``not as sealed``.
        sentence: the same for people.
    """

    upto: Head
    last: int
    done: bool
    sealed: int = 0
    broken: int = 0
    fault: str = ""
    sentence: str = ""


def broken_view(upto: Head, last: int, broken: Broken) -> Verified:
    """Tell where a trail breaks."""
    told = _SENTENCES[broken.fault].format(broken.number)
    return Verified(upto, last, done=True, broken=broken.number, fault=broken.fault.value, sentence=told)
