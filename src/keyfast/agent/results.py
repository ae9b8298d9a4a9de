"""Command results on their way to the server. Pure."""

from msgspec.structs import replace

from keyfast.agent.client_database import Record
from keyfast.wire.messages import CommandResult

MAX_DONE = 32
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
