"""Windows: the registry for the client database, DPAPI to seal it, a file that says hurry. Tried under Wine only."""

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

from keyfast.agent.client_database import Record
from keyfast.agent.dpapi import DpapiVault
from keyfast.agent.lock import LOCK_NAME, TRIAL_NAME, lock
from keyfast.agent.registry_database import RegistryDatabase
from keyfast.agent.vault import Safe
from keyfast.core.package import WINDOWS
from keyfast.errors import ClientDatabaseError

SERVICE = "KeyfastAgent"
PACKAGE_KEY = r"SOFTWARE\Keyfast\Agent\Package"
URL_VALUE = "ServerUrlOverride"
HURRY = "hurry"
_FOLDERS = {
    "%ProgramData%": uuid.UUID("62AB5D82-FDC1-4DC3-A9DD-070D1D495D97"),
    "%ProgramFiles%": uuid.UUID("905E63B6-C1BF-494E-B29C-65B732D3D21A"),
}
"""FOLDERID_ProgramData and FOLDERID_ProgramFiles."""
_LOOK_SECONDS = 1.0


class LockedRegistry(RegistryDatabase):
    """The registry's database, held by the lock of a folder."""

    def __init__(self, state: Path, registry: Any, safe: Safe) -> None:
        self._state = state
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise ClientDatabaseError(f"cannot create {state}: {cause.strerror}") from cause
        self._lock = lock(state, f"sc stop {SERVICE}")
        try:
            super().__init__(registry, safe)
        except BaseException:
            os.close(self._lock)
            raise

    def forget(self) -> None:
        """See ``LocalDatabase.forget``."""
        super().forget()
        os.close(self._lock)
        self._lock = -1
        for name in (LOCK_NAME, HURRY, TRIAL_NAME):
            with contextlib.suppress(OSError):
                (self._state / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._state.rmdir()

    def close(self) -> None:
        """See ``ClientDatabase.close``."""
        super().close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Windows:
    """See ``Platform``."""

    stop_service = f"sc stop {SERVICE}"

    def __init__(self) -> None:
        self._registry: Any = importlib.import_module("winreg")

    def state(self) -> Path:
        """See ``Platform.state``."""
        return _placed(WINDOWS.state)

    def package(self) -> Path:
        """See ``Platform.package``."""
        return _placed(WINDOWS.package)

    def open_database(self, state: Path) -> LockedRegistry:
        """See ``Platform.open_database``."""
        return LockedRegistry(state, self._registry, Safe((DpapiVault(),)))

    def read(self, state: Path) -> tuple[Record | None, str]:  # noqa: ARG002 - the port's
        """See ``Platform.read``."""
        safe = Safe((DpapiVault(),))
        with contextlib.closing(RegistryDatabase(self._registry, safe)) as database:
            return database.load(), safe.vault

    def not_yet(self) -> None:
        """See ``Platform.not_yet``: a file hurts nobody."""

    def listen(self, state: Path, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """See ``Platform.listen``: Ctrl-C and Ctrl-Break end it, the file ``hurry`` means now."""
        loop = asyncio.get_running_loop()
        for name in ("SIGINT", "SIGBREAK"):
            signal.signal(getattr(signal, name), lambda *_: loop.call_soon_threadsafe(stop.set))
        watcher = asyncio.ensure_future(_look(state / HURRY, hurry))
        _WATCHERS.add(watcher)
        watcher.add_done_callback(_WATCHERS.discard)

    def hurry(self, state: Path, pid: int) -> None:  # noqa: ARG002 - the port's
        """See ``Platform.hurry``."""
        (state / HURRY).touch()

    def server_url(self) -> str:
        """See ``Platform.server_url``: a value that the installer writes."""
        try:
            with self._registry.OpenKey(self._registry.HKEY_LOCAL_MACHINE, PACKAGE_KEY) as key:
                value, kind = self._registry.QueryValueEx(key, URL_VALUE)
        except OSError:
            return ""
        return str(value).strip() if kind == self._registry.REG_SZ else ""

    def service(self) -> str:
        """See ``Platform.service``."""
        try:
            done = subprocess.run(("sc", "query", SERVICE), capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        if done.returncode:
            return "not installed"
        return "running" if "RUNNING" in done.stdout else "stopped"


_WATCHERS: set["asyncio.Future[None]"] = set()
"""Nobody else holds them while they run."""


async def _look(file: Path, hurry: asyncio.Event) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if _removed(file):
            hurry.set()


def _removed(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True


def _placed(path: str) -> Path:
    """Put the real folder in the place of a name; a service's environment may lie about it."""
    name, _, rest = path.partition("\\")
    return Path(_known_folder(_FOLDERS[name])) / rest


def _known_folder(folder: uuid.UUID) -> str:
    """Ask SHGetKnownFolderPath for a folder of all users."""
    found, identifier = ctypes.c_wchar_p(), (ctypes.c_ubyte * 16).from_buffer_copy(folder.bytes_le)
    libraries: Any = getattr(ctypes, "windll")  # noqa: B009 - only Windows has it
    code = libraries.shell32.SHGetKnownFolderPath(ctypes.byref(identifier), 0, None, ctypes.byref(found))
    try:
        if code or not found.value:
            raise ClientDatabaseError(f"Windows does not say where {folder} is (code {code})")
        return found.value
    finally:
        libraries.ole32.CoTaskMemFree(found)
