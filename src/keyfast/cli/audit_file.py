"""Verify an exported audit trail on any machine: it takes the lines and nothing of the server."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from keyfast.core.audit import Broken, Entry, Fault, Head, end_of, follow, genesis
from keyfast.errors import UsageError
from keyfast.wire.audit import Verified, broken_view


def verified_file(path: Path, installation: str, kept: Head | None) -> Verified:
    """Verify an export of JSON lines, one line at a time.

    Args:
        path: the file.
        installation: id of the installation whose first record it begins with; empty takes its first record, whichever
            that is, as it is.
        kept: a head that must be on the trail, None for none.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    entries = _entries(path)
    first = next(entries, None)
    if first is None:
        raise UsageError(f"{path} holds no record")
    end = genesis(installation) if installation else Head(first.record.number - 1, "")
    for entry in chain([first], entries):
        taken = not installation and entry is first
        after = end_of(entry) if taken else follow(end, [entry])
        if isinstance(after, Broken):
            return broken_view(end, end.number, after)
        if kept is not None and after.number == kept.number and after.hash != kept.hash:
            return broken_view(end, end.number, Broken(kept.number, Fault.CHANGED))
        end = after
    if kept is not None and kept.number > end.number:
        return broken_view(end, end.number, Broken(end.number + 1, Fault.MISSING))
    return Verified(end, end.number, done=True)


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
