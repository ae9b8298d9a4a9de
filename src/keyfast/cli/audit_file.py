"""Verify an exported audit trail on any machine: it takes the lines and nothing of the server."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from keyfast.core.audit import Broken, Entry, Fault, Head, end_of, follow, genesis
from keyfast.core.audit_keep import told_by
from keyfast.errors import UsageError
from keyfast.wire.audit import Verified, beginning_view, broken_view


def verified_file(path: Path, installation: str, kept: Head | None) -> Verified:
    """Verify an export of JSON lines, one line at a time.

    Args:
        path: the file.
        installation: id of the installation whose trail it is from its beginning: the first record, or the one after
            those that a record of the file says were removed. Empty takes the first record of the file, whichever that
            is, as it is.
        kept: a head that must be on the trail, None for none.

    Raises:
        UsageError: it cannot be read, holds something else, or begins after the head that was kept.
    """
    entries = _entries(path)
    first = next(entries, None)
    if first is None:
        raise UsageError(f"{path} holds no record")
    if kept is not None:
        demand_kept(kept, first.record.number)
    whole = installation != "" and first.record.number == 1
    end = genesis(installation) if whole else Head(first.record.number - 1, "")
    told: Entry | None = None
    for entry in chain([first], entries):
        taken = not whole and entry is first
        after = end_of(entry) if taken else follow(end, [entry])
        if isinstance(after, Broken):
            return broken_view(end, end.number, after)
        broken = None if kept is None else _against(kept, entry, after)
        if broken is not None:
            return broken_view(end, end.number, broken)
        end = after
        told = entry if _tells_of(first, entry) else told
    if kept is not None and kept.number > end.number:
        return broken_view(end, end.number, Broken(end.number + 1, Fault.MISSING))
    if whole or not installation:
        return Verified(end, end.number, done=True)
    return _begun(first, told, end)


def demand_kept(kept: Head, first: int) -> None:
    """Make sure that a head that was kept can be compared with a trail that is kept from ``first`` on.

    Raises:
        UsageError: it is of a record before that.
    """
    if kept.number < first - 1:
        raise UsageError(
            f"the head that was kept is of record {kept.number}, and the trail begins with record {first}: "
            "it proves nothing any more",
            repair="keep a newer one: keyfast audit head",
        )


def _against(kept: Head, entry: Entry, after: Head) -> Broken | None:
    """Compare a record with a head that was kept: of the record itself, or of the one before it."""
    if kept.number == entry.record.number and kept.hash != after.hash:
        return Broken(kept.number, Fault.CHANGED)
    before = kept.number == entry.record.number - 1
    return Broken(entry.record.number, Fault.CHANGED) if before and isinstance(follow(kept, [entry]), Broken) else None


def _tells_of(first: Entry, entry: Entry) -> bool:
    """Tell whether a record says that everything before the first one of the file was removed."""
    told = told_by(entry)
    return told is not None and told.number == first.record.number - 1


def _begun(first: Entry, told: Entry | None, end: Head) -> Verified:
    """Judge the beginning of a trail whose front was removed."""
    after = told_by(told) if told is not None else None
    if told is None or after is None:
        return broken_view(Head(0, ""), end.number, Broken(1, Fault.MISSING))
    try:
        fits = not isinstance(follow(after, [first]), Broken)
    except ValueError:  # what it says is no hash
        fits = False
    if not fits:
        return broken_view(after, end.number, Broken(first.record.number, Fault.CHANGED))
    return Verified(end, end.number, done=True, beginning=beginning_view(after, told.record.number, told))


def _entries(path: Path) -> Iterator[Entry]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield msgspec.json.decode(line, type=Entry)
                except (msgspec.DecodeError, UnicodeDecodeError) as cause:
                    raise UsageError(f"line {number} of {path} is no record of the audit trail") from cause
    except OSError as cause:
        raise UsageError(f"cannot read {path}: {cause.strerror}") from cause
