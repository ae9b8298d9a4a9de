"""Command results on their way to the server. Pure."""

import uuid

from msgspec.structs import replace

from keyfast.agent.client_database import Record
from keyfast.trust.encoding import sha256
from keyfast.wire.messages import CommandResult

MAX_DONE = 32
MAX_REFUSED = 32
"""Results that may wait before no more is told of commands that are not the endpoint's."""
_MAX_DETAIL = 1024


def reported(record: Record, command: str, state: str, detail: str = "") -> Record:
    """Return the record that tells what became of a command; an older word about it that waits is dropped."""
    result = CommandResult(command, state, detail[:_MAX_DETAIL])
    return replace(
        record,
        results=(*(other for other in record.results if other.id != command), result),
        done=(*(other for other in record.done if other.id != command), result)[-MAX_DONE:],
    )


def repeated(record: Record, command: str) -> Record:
    """Return the record that tells once more what became of a command, for a server that asks again."""
    again = tuple(result for result in record.done if result.id == command and result not in record.results)
    return replace(record, results=record.results + again)


def refused(record: Record, command: str, detail: str) -> Record:
    """Return the record that tells of a command which is not to be obeyed, for it is old or another endpoint's.

    What became of an earlier one by that id stays what is remembered, and comes first.
    """
    known = any(result.id == command for result in (*record.results, *record.done))
    if known or len(record.results) >= MAX_REFUSED:
        return repeated(record, command)
    return replace(record, results=(*record.results, CommandResult(command, "failed", detail[:_MAX_DETAIL])))


def mistrusted(record: Record, statement: str, detail: str) -> Record:
    """Return the record that tells of a command whose signature does not hold.

    It is named by its digest: whoever signed it may not choose which command is said to have failed.
    """
    digest = uuid.UUID(bytes=sha256(statement.encode())[:16], version=4)
    return refused(record, str(digest), detail)
