"""Linux and macOS: a file for the client database, signals, and a file for one more URL."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from keyfast.agent import file_database
from keyfast.agent.client_database import Record
from keyfast.agent.file_database import FileDatabase
from keyfast.agent.vault import Safe, Vault
from keyfast.agent.vaults import FileVault, KeychainVault, SystemdVault
from keyfast.core.package import LINUX, MACOS

_MAX_URL = 2048
_LAUNCHD = "system/org.keyfast.agent"


class Posix:
    """See ``Platform``."""

    def __init__(self, platform: str = sys.platform) -> None:
        self._mac = platform == "darwin"
        self._places = MACOS if self._mac else LINUX
        self.stop_service = f"launchctl bootout {_LAUNCHD}" if self._mac else "systemctl stop keyfast-agent"

    def state(self) -> Path:
        """See ``Platform.state``."""
        return Path(self._places.state)

    def package(self) -> Path:
        """See ``Platform.package``."""
        return Path(self._places.package)

    def open_database(self, state: Path) -> FileDatabase:
        """See ``Platform.open_database``."""
        return FileDatabase(state, safe=self._safe(state))

    def read(self, state: Path) -> tuple[Record | None, str]:
        """See ``Platform.read``."""
        safe = self._safe(state)
        return file_database.read_record(state, safe), safe.vault

    def not_yet(self) -> None:
        """See ``Platform.not_yet``."""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def listen(self, state: Path, stop: asyncio.Event, hurry: asyncio.Event) -> None:  # noqa: ARG002 - the port's
        """See ``Platform.listen``: SIGTERM and SIGINT end it, SIGUSR1 means now."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, hurry.set)

    def hurry(self, state: Path, pid: int) -> None:  # noqa: ARG002 - the port's
        """See ``Platform.hurry``."""
        os.kill(pid, signal.SIGUSR1)

    def server_url(self) -> str:
        """See ``Platform.server_url``: the file ``server-url`` beside the package's folder."""
        try:
            with self.package().with_name("server-url").open("rb") as file:
                return file.read(_MAX_URL).decode("ascii", errors="replace").strip()
        except OSError:
            return ""

    def service(self) -> str:
        """See ``Platform.service``."""
        asked = ("launchctl", "print", _LAUNCHD) if self._mac else ("systemctl", "is-active", "keyfast-agent.service")
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        if self._mac:
            return (
                "running" if "state = running" in done.stdout else "stopped" if not done.returncode else "not installed"
            )
        said = done.stdout.strip()
        return "running" if said == "active" else "stopped" if said in ("inactive", "failed") else "unknown"

    def _safe(self, state: Path) -> Safe:
        best: Vault = KeychainVault() if self._mac else SystemdVault()
        return Safe((best, FileVault(state)))
