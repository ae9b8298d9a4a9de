"""Collectors that look at this machine alone."""

import contextlib
import errno
import os
import shutil
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from keyfast.agent.client_database import Record
from keyfast.agent.diagnosis.facts import Disk, Memory, Proxy, Service
from keyfast.agent.lock import TRIAL_NAME, is_held
from keyfast.agent.platform import Platform
from keyfast.core.diagnosis.evidence import ClientDatabase
from keyfast.errors import ClientDatabaseError, VaultError

TRIAL_BYTES = 256 * 1024
"""As much as the client database needs for a record that is written anew."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def memory(platform: Platform, state: Path) -> tuple[Memory, Record | None]:
    """Read the client database without holding it, so that a running agent is not disturbed."""
    try:
        record, vault = platform.read(state)
    except VaultError as cause:
        return Memory(ClientDatabase.SEALED, fault=cause.message, repair=cause.repair), None
    except ClientDatabaseError as cause:
        if isinstance(cause.__cause__, OSError):
            return Memory(fault=cause.message, repair=cause.repair), None
        return Memory(ClientDatabase.DAMAGED, fault=cause.message, repair=cause.repair), None
    except OSError as cause:
        return Memory(fault=f"cannot look at {state}: {cause.strerror}", repair="run as root"), None
    return Memory(ClientDatabase.ABSENT if record is None else ClientDatabase.INTACT, vault), record


def disk(state: Path, size: int = TRIAL_BYTES) -> Disk:
    """Write a file beside the client database, make it durable, and remove it."""
    free = None
    path = state / TRIAL_NAME
    try:
        free = shutil.disk_usage(state).free
        fd = os.open(path, _NEW, 0o600)
        try:
            _write(fd, size)
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)
    except OSError as cause:
        full = True if cause.errno in _NO_ROOM else None
        return Disk(full, free, f"cannot write in {state}: {cause.strerror}")
    return Disk(full=False, free=free)


def _write(fd: int, size: int) -> None:
    left = memoryview(bytes(size))
    while left:
        left = left[os.write(fd, left) :]
    os.fsync(fd)


def service(platform: Platform, state: Path) -> Service:
    """Ask whether the service runs; what holds the client database does, whoever started it."""
    try:
        if is_held(state):
            return Service(runs=True, detail="a process holds the client database")
        if state.resolve() != platform.state().resolve():
            return Service(detail="this is not the client database of the service of this machine")
        how = platform.service()
    except (OSError, ClientDatabaseError) as cause:
        return Service(detail=f"it cannot be asked for: {cause}")
    if how == "unknown":
        return Service(detail="there is no service manager here that knows it")
    return Service(how == "running", f"the agent's service is {how}")


def proxy(read: Callable[[], Mapping[str, str]] = urllib.request.getproxies) -> Proxy:
    """Read the proxies of this system, as programs that use them do."""
    try:
        found = [url for scheme, url in sorted(read().items()) if scheme in ("http", "https", "all")]
        return Proxy(tuple(dict.fromkeys(_place(url) for url in found)))
    except (OSError, ValueError) as cause:
        return Proxy(fault=f"they cannot be read: {type(cause).__name__}")


def _place(url: str) -> str:
    """Host and port alone: the rest may be a password."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    port = None
    with contextlib.suppress(ValueError):
        port = parts.port
    return (parts.hostname or "one without a name") + (f":{port}" if port else "")
