"""The lock of a state directory: one agent at a time. The file names its holder, for people only."""

import contextlib
import os
import sys
from pathlib import Path

from keyfast.errors import ClientDatabaseError

LOCK_NAME = "lock"
TRIAL_NAME = "diagnose.trial"
"""File that a diagnosis writes beside the lock and removes; a kill may leave it."""
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """The byte that is locked: Windows keeps others from reading a locked one, and they are to read the number."""

    def _try(fd: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
else:
    import fcntl

    def _try(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock(directory: Path, stop: str = "systemctl stop keyfast-agent") -> int:
    """Lock a directory until the descriptor that is returned is closed.

    Args:
        directory: must exist.
        stop: what a person does to stop the agent that holds it.

    Raises:
        ClientDatabaseError: another process holds it, or it cannot be locked.
    """
    path = directory / LOCK_NAME
    try:
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    except OSError as cause:
        raise ClientDatabaseError(f"cannot lock {path}: {cause.strerror}") from cause
    try:
        _try(fd)
    except OSError:
        os.close(fd)
        raise ClientDatabaseError(
            f"the client database is in use by process {holder(directory)}", repair=stop
        ) from None
    # A full disk must not keep an endpoint from starting.
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode("ascii"))
    return fd


def holder(directory: Path) -> int:
    """Return the process id of the agent that holds the lock, 0 if it left none."""
    try:
        return int((directory / LOCK_NAME).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def is_held(directory: Path) -> bool:
    """Tell whether a process holds the lock now."""
    try:
        fd = os.open(directory / LOCK_NAME, _FLAGS)
    except OSError:
        return False
    try:
        _try(fd)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
