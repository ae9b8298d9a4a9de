"""How long the audit trail is kept: what may be removed from its front, and where it begins then.

Times are unix seconds.
"""

from collections.abc import Iterable

import msgspec

from keyfast.core.audit import Act, Actor, Entry, Head, Via
from keyfast.core.audit_actions import KEYFAST, SHORTENED

DAY = 24 * 3600
LEAST_DAYS = 90
"""Nobody keeps it shorter: what went wrong is looked for weeks later."""
MOST_DAYS = 36_500
FIRST, UPTO, HASH, DAYS, FILE = "first", "upto", "hash", "days", "file"
"""Particulars of the record that tells what was removed."""


class Start(msgspec.Struct, frozen=True):
    """Where a trail begins whose front was removed.

    Attributes:
        after: the last record that was removed.
        record: number of the record that tells of it.
    """

    after: Head
    record: int


def cutoff(now: int, days: int) -> int:
    """Return the moment before which records are old: a midnight (UTC), so that they are removed once a day."""
    return (now // DAY - days) * DAY


def old_upto(start: Head, entries: Iterable[Entry], before: int) -> Head:
    """Return the last of the old records at the front; ``start`` if the first is not old.

    A clock that was set back makes younger records behind older ones look old: they wait for those before them.
    """
    end = start
    for entry in entries:
        if entry.record.at >= before:
            break
        end = Head(entry.record.number, entry.hash)
    return end


def shortened(first: int, upto: Head, days: int, file: str, at: int) -> Act:
    """Return the record that tells what is removed.

    Args:
        first: number of the first record that is.
        upto: the last one.
        days: for how long records are kept.
        file: name of the file they were written to before; empty for none.
        at: now.
    """
    told = {FIRST: str(first), UPTO: str(upto.number), HASH: upto.hash, DAYS: str(days), FILE: file}
    detail = {name: text for name, text in told.items() if text}
    return Act(at, Actor(KEYFAST, Via.SERVER), SHORTENED, "trail", str(upto.number), detail)


def told_by(entry: Entry) -> Head | None:
    """Return up to which record a record says that the trail was shortened; None if it says no such thing."""
    record, detail = entry.record, entry.record.detail
    number = detail.get(UPTO, "")
    if record.action != SHORTENED or not number.isdecimal():
        return None
    return Head(int(number), detail.get(HASH, ""))


def said(start: Start) -> bytes:
    """Return what is sealed of a beginning."""
    return f"{start.after.number}:{start.after.hash}:{start.record}".encode("ascii", "replace")
