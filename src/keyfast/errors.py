"""Every fault Keyfast raises, each with a stable code, an HTTP status and an exit code.

A refusal ("no, because") is a value, see ``core.refusal``; these are faults.

::

    KeyfastError
    +-- UsageError            the caller asked for something that makes no sense
    +-- NotFoundError         the thing named does not exist
    +-- ConflictError         the thing exists in a state that forbids this
    +-- TransitionError       a lifecycle table has no such cell
    +-- ApprovalNeededError   a second person has to agree first
    +-- NotSignedInError      nobody is known to speak, or not recently enough
    +-- ForbiddenError        the one who speaks may not do this
    +-- RepeatedError         a write was sent again under its idempotency key, and cannot be answered again
    |   +-- KeyReusedError        the key was another request's
    |   +-- LookFirstError        nobody knows what became of the first
    |   +-- AnswerNotKeptError    the first was done, and its answer is gone
    +-- TrustError            something signed, sealed or proven does not hold
    |   +-- KeyFileError      a key file is missing, unreadable, exposed or foreign
    |   +-- ForeignError      it belongs to another installation
    +-- NotReadyError         a dependency is down; try again later
    +-- MissingToolError      a program that must be installed is not
    +-- ClientDatabaseError   the agent's own state cannot be read or written
        +-- VaultError        what seals it does not open it
"""

from typing import ClassVar

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FINISHED = 3
EXIT_START_AGAIN = 75
"""An agent that wants to be started again by its service manager (EX_TEMPFAIL of sysexits.h)."""


class KeyfastError(Exception):
    """Base of all faults.

    Attributes:
        code: stable machine-readable name, part of the API.
        status: HTTP status when this reaches an API caller.
        exit_code: process exit code when this reaches a command line.
        repair: the one command or act that mends it, or an empty string.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, repair: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.repair = repair


class UsageError(KeyfastError):
    """The caller asked for something that makes no sense."""

    code = "usage"
    status = 400
    exit_code = EXIT_USAGE


class NotFoundError(KeyfastError):
    """The thing named does not exist."""

    code = "not_found"
    status = 404


class ConflictError(KeyfastError):
    """The thing exists, in a state that forbids this."""

    code = "conflict"
    status = 409


class TransitionError(ConflictError):
    """A lifecycle table has no such cell."""

    code = "no_such_transition"


class ApprovalNeededError(ConflictError):
    """A second person has to agree first.

    Attributes:
        approval: id of what they are to agree to.
    """

    code = "approval_needed"

    def __init__(self, message: str, *, approval: str, repair: str = "") -> None:
        super().__init__(message, repair=repair)
        self.approval = approval


class NotSignedInError(KeyfastError):
    """Nobody is known to speak: no API token or session, or one that has ended; or they must prove it again."""

    code = "not_signed_in"
    status = 401


class ForbiddenError(KeyfastError):
    """The one who speaks may not do this."""

    code = "forbidden"
    status = 403


class RepeatedError(KeyfastError):
    """A write was sent again under its idempotency key, and cannot be answered again; nothing was done."""

    code = "repeated"
    status = 409


class KeyReusedError(RepeatedError):
    """The idempotency key was used for another request."""

    code = "key_reused"
    status = 422


class LookFirstError(RepeatedError):
    """The first request is still being done, or the server failed in it: look before trying again."""

    code = "look_first"


class AnswerNotKeptError(RepeatedError):
    """The first request was done, and its answer was not kept: look what it came to."""

    code = "answer_not_kept"


class TrustError(KeyfastError):
    """Something signed, sealed or proven does not hold."""

    code = "trust"
    status = 403


class KeyFileError(TrustError):
    """A key file is missing, unreadable, exposed to others, or damaged."""

    code = "key_file"
    status = 500


class ForeignError(TrustError):
    """It belongs to another installation."""

    code = "foreign_installation"


class NotReadyError(KeyfastError):
    """A dependency (database, directory) is down or full; nothing was written.

    Attributes:
        retry_after: seconds after which a new try makes sense.
    """

    code = "not_ready"
    status = 503
    exit_code = EXIT_NOT_FINISHED

    def __init__(self, message: str, *, retry_after: int = 30, repair: str = "") -> None:
        super().__init__(message, repair=repair)
        self.retry_after = retry_after


class MissingToolError(KeyfastError):
    """A program that must be installed is not; the repair names the package."""

    code = "missing_tool"


class ClientDatabaseError(KeyfastError):
    """The agent's own state cannot be read, locked or written."""

    code = "client_database"


class VaultError(ClientDatabaseError):
    """The vault that seals the agent's state does not open, or none can be used."""

    code = "vault"
