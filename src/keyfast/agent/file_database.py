"""The client database as one file (Linux, macOS): an append-only run of checksummed frames.

A store is one append and one flush. Anything that goes wrong leaves the frames before it untouched, and
makes the next store write a new file beside the old one and rename it into place, because after a failed
flush nobody knows what the old file holds.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Protocol

from keyfast.agent.client_database import Record, decode_record, encode_record
from keyfast.agent.frames import Frame, encode_frame, read_frames
from keyfast.agent.lock import LOCK_NAME, TRIAL_NAME, lock
from keyfast.agent.vault import Safe, is_sealed
from keyfast.agent.vaults import key_files
from keyfast.errors import ClientDatabaseError

FILE_NAME = "client-database"
COMPACT_ABOVE = 256 * 1024
_EXPOSED = stat.S_IRWXG | stat.S_IRWXO
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class FileCalls(Protocol):
    """The system calls a store makes, so that a test can fail each of them. Signatures of ``os``."""

    def open(self, path: Path, flags: int, mode: int = ...) -> int:
        """See ``os.open``."""
        ...

    def write(self, fd: int, data: bytes, /) -> int:
        """See ``os.write``."""
        ...

    def fsync(self, fd: int) -> None:
        """See ``os.fsync``."""
        ...

    def replace(self, src: Path, dst: Path) -> None:
        """See ``os.replace``."""
        ...

    def close(self, fd: int) -> None:
        """See ``os.close``."""
        ...


class FileDatabase:
    """Holds the lock of a state directory from construction to ``close``.

    Args:
        directory: created with mode 0700 if it does not exist.
        calls: system calls.
        safe: seals records; None leaves them as they are.

    Raises:
        ClientDatabaseError: another process holds it, or it is exposed to other users.
    """

    def __init__(self, directory: Path, calls: FileCalls = os, safe: Safe | None = None) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._calls = calls
        _prepare(directory)
        self._safe = safe or Safe(())
        self._seals = safe is not None
        self._lock = lock(directory)
        self._size = 0
        self._generation = 0
        self._rewrite = True

    def load(self) -> Record | None:
        """See ``ClientDatabase.load``; a damaged file is kept aside before it is written again."""
        data = _read(self._path)
        reading = read_frames(data)
        if reading.damaged:
            self._keep_aside(data)
        if reading.newest is None:
            self._rewrite = True
            _demand_empty(self._path, data, damaged=reading.damaged)
            return None
        payload = reading.newest.payload
        self._generation, self._size = reading.newest.generation, reading.end
        # A record that was not sealed yet does not stay behind in older frames.
        self._rewrite = reading.end != len(data) or is_sealed(payload) != self._seals
        return decode_record(self._safe.open(payload))

    def store(self, record: Record) -> None:
        """See ``ClientDatabase.store``."""
        payload = encode_record(record)
        sealed = self._safe.seal(payload, record.installation) if self._seals else payload
        frame = encode_frame(Frame(self._generation + 1, sealed))
        whole = self._rewrite or self._size + len(frame) > COMPACT_ABOVE
        self._rewrite = True
        try:
            if whole:
                self._replace(self._path, frame)
            else:
                self._write(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, frame)
        except OSError as cause:
            raise ClientDatabaseError(
                f"cannot write {self._path}: {cause.strerror}",
                repair=f"make room for, or allow writing to, {self._path}",
            ) from cause
        self._size = len(frame) if whole else self._size + len(frame)
        self._generation += 1
        self._rewrite = False

    def set_aside(self) -> None:
        """See ``LocalDatabase.set_aside``."""
        try:
            self._path.replace(_free(self._path))
        except FileNotFoundError:
            pass
        except OSError as cause:
            raise ClientDatabaseError(f"cannot set {self._path} aside: {cause.strerror}") from cause
        self._safe.forget()
        self._rewrite, self._size = True, 0

    def forget(self) -> None:
        """See ``LocalDatabase.forget``. Only what this agent wrote: a mistyped folder must not cost more than that."""
        for path in files(self._directory):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._directory.rmdir()

    def close(self) -> None:
        """See ``ClientDatabase.close``."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _replace(self, path: Path, data: bytes) -> None:
        fresh = path.with_suffix(".new")
        self._write(fresh, _NEW, data)
        self._calls.replace(fresh, path)
        directory = self._calls.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._calls.fsync(directory)
        finally:
            self._calls.close(directory)

    def _write(self, path: Path, flags: int, data: bytes) -> None:
        fd = self._calls.open(path, flags, 0o600)
        try:
            left = memoryview(data)
            while left:
                left = left[self._calls.write(fd, bytes(left)) :]
            self._calls.fsync(fd)
        finally:
            self._calls.close(fd)

    def _keep_aside(self, data: bytes) -> None:
        # Evidence only: a full disk must not keep an endpoint from starting.
        with contextlib.suppress(OSError):
            self._replace(self._path.with_suffix(".damaged"), data)


def read_record(directory: Path, safe: Safe | None = None) -> Record | None:
    """Read the newest record without the lock, for a person who asks while the agent runs.

    Args:
        directory: of the database.
        safe: opens records that are sealed.

    Raises:
        ClientDatabaseError: it cannot be read.
    """
    if not directory.is_dir():
        return None
    path = directory / FILE_NAME
    data = _content(path)
    reading = read_frames(data)
    if reading.newest is None:
        _demand_empty(path, data, damaged=reading.damaged)
        return None
    return decode_record((safe or Safe(())).open(reading.newest.payload))


def _demand_empty(path: Path, data: bytes, *, damaged: bool) -> None:
    """Tell a database that never held a record from one that lost it."""
    if damaged and data.strip(b"\0"):
        raise ClientDatabaseError(
            f"{path} is damaged and holds no intact record",
            repair=f"restore {path} from a backup, or remove it and install the agent again",
        )


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as cause:
        raise ClientDatabaseError(f"cannot create {directory}: {cause.strerror}") from cause
    _demand_private(directory, "700")


def _demand_private(path: Path, mode: str) -> None:
    """Refuse a state others could read or replace."""
    try:
        facts = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as cause:
        raise ClientDatabaseError(f"cannot look at {path}: {cause.strerror}", repair="run as root") from cause
    if facts.st_uid != os.geteuid():
        raise ClientDatabaseError(
            f"{path} belongs to user {facts.st_uid}, not to user {os.geteuid()}",
            repair=f"chown {os.geteuid()} {path}",
        )
    if facts.st_mode & _EXPOSED:
        raise ClientDatabaseError(f"{path} is open to other users", repair=f"chmod {mode} {path}")


def _read(path: Path) -> bytes:
    _demand_private(path, "600")
    return _content(path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as cause:
        raise ClientDatabaseError(f"cannot read {path}: {cause.strerror}", repair="run as root") from cause


def files(directory: Path) -> tuple[Path, ...]:
    """Return every file a database in ``directory`` may have written, the lock last."""
    path = directory / FILE_NAME
    aside = sorted(directory.glob(f"{FILE_NAME}.sealed-*"))
    own = (path, path.with_suffix(".new"), path.with_suffix(".damaged"))
    return *own, *aside, *key_files(directory), directory / TRIAL_NAME, directory / LOCK_NAME


def _free(path: Path) -> Path:
    """Return the next name under which a database that cannot be opened is kept."""
    number = 1
    while (aside := path.with_suffix(f".sealed-{number}")).exists():
        number += 1
    return aside
