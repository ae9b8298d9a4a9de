"""A Windows of a test's own: a Wine prefix in a folder, and what administrators do in it."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes
from tests.support.require import require

from keyfast.installers.msi import names, tools

PROGRAMS = Path("drive_c/Program Files/Keyfast/Agent")
LOG = Path("drive_c/ProgramData/Keyfast/Agent/log/agent.log")
REFUSED = 1603 & 0xFF
"""What is left of ERROR_INSTALL_FAILURE in an exit code here."""

_PATIENCE = 180.0
_MOMENT = 0.05
_RUNNING = "4  RUNNING"


@dataclass(frozen=True, slots=True)
class Said:
    """What a Windows program came to."""

    code: int
    text: str


class Wine:
    """One Windows. ``close`` ends exactly its processes.

    Args:
        folder: made here.
    """

    def __init__(self, folder: Path) -> None:
        require("wine", "wine")
        self.prefix = folder
        folder.mkdir(parents=True)
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("KEYFAST", "WINE", "PYTHON"))
        } | {
            "WINEPREFIX": str(folder),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # Nobody is there to answer a debugger or an offer to install something.
            "WINEDLLOVERRIDES": "winedbg.exe=d;mscoree=;mshtml=",
            "DISPLAY": "",
        }
        self.run("wineboot", "-i")
        self.run("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
        self._server("-w")
        self._add_prng()

    def _add_prng(self) -> None:
        source = Path(__file__).with_name("wine_prng.c")
        target = self.prefix / "drive_c/windows/system32/bcryptprimitives.dll"
        compiler = require(tools.COMPILER, "gcc-mingw-w64-x86-64-win32")
        subprocess.run([compiler, "-shared", "-s", "-O2", "-o", target, source, "-ladvapi32"], check=True)

    def run(self, *arguments: str, timeout: float = _PATIENCE) -> Said:
        """Run a Windows program to its end. Its output goes through a pipe: Python does not start here with a file.

        The end of the pipe is not the end of the program: the first one starts the services, which keep it open.
        """
        end, own = time.monotonic() + timeout, os.pipe()
        os.set_blocking(own[0], False)
        process = subprocess.Popen(
            ["wine", *arguments], stdin=subprocess.DEVNULL, stdout=own[1], stderr=own[1], env=self._environment
        )
        os.close(own[1])
        text = b""
        try:
            while process.poll() is None:
                assert time.monotonic() < end, f"{arguments[0]} has not ended after {timeout} s"
                text += _read(own[0])
            text += _read(own[0])
        finally:
            os.close(own[0])
            process.kill()
        return Said(process.wait(), text.decode("utf-8", "replace").replace("\r\n", "\n"))

    def _server(self, option: str) -> None:
        subprocess.run(["wineserver", option], check=False, env=self._environment, timeout=_PATIENCE)

    # --- what administrators do

    def install(self, msi: Path, *more: str) -> Said:
        """``msiexec /i``, silent, with a verbose log."""
        return self._msiexec("/i", str(msi), *more)

    def repair(self, msi: Path) -> Said:
        """What ``msiexec /f`` does: every file and every value again. Wine 8 ignores that option."""
        return self._msiexec("/i", str(msi), "REINSTALL=ALL", "REINSTALLMODE=omus")

    def uninstall(self, product: str, *more: str) -> Said:
        """``msiexec /x``."""
        return self._msiexec("/x", f"{{{product.upper()}}}", *more)

    def _msiexec(self, *arguments: str) -> Said:
        log = self.prefix / "msiexec.log"
        said = self.run("msiexec", *arguments, "/qn", "/l*v", rf"Z:{str(log).replace('/', chr(92))}")
        text = log.read_bytes().decode("utf-16" if log.read_bytes()[:2] == b"\xff\xfe" else "utf-8", "replace")
        return Said(said.code, said.text + text)

    def agent(self, *arguments: str) -> Said:
        """The agent's command line."""
        return self.run(str(self.prefix / PROGRAMS / "keyfast-agent.exe"), *arguments)

    # --- what is to be seen

    def service_runs(self) -> bool:
        """``sc query``."""
        return _RUNNING in self.run("sc", "query", names.SERVICE).text

    def values(self, key: str) -> Mapping[str, str]:
        """``reg query``: texts by name, empty if there is no such key."""
        found = {}
        for line in self.run("reg", "query", rf"HKLM\{key}").text.splitlines():
            name, kind, value = (*line.strip().split("    ", 2), "", "")[:3]
            if kind.startswith("REG_"):
                found[name] = value
        return found

    def registry(self) -> str:
        """Everything of ours in the registry, as ``reg export`` writes it."""
        file = self.prefix / "export.reg"
        self.run("reg", "export", r"HKLM\SOFTWARE\Keyfast", rf"Z:{str(file).replace('/', chr(92))}", "/y")
        return file.read_bytes().decode("utf-16")

    def products(self) -> list[str]:
        """Codes of the products of ours that Windows counts as installed."""
        text = self.run("reg", "query", r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall", "/s").text
        parts = text.split("\nHKEY_LOCAL_MACHINE")
        return [part.splitlines()[0].rpartition("{")[2].rstrip("}") for part in parts if names.PRODUCT in part]

    def log(self) -> str:
        """What the service wrote."""
        file = self.prefix / LOG
        return file.read_text("utf-8", errors="replace") if file.exists() else ""

    def close(self) -> None:
        """End the processes of this prefix and no others, and give back its room."""
        self._server("-k")
        self._server("-w")
        shutil.rmtree(self.prefix, ignore_errors=True)


def _read(pipe: int) -> bytes:
    """Everything that is in a pipe now, or comes within a moment."""
    text = b""
    while select.select([pipe], [], [], _MOMENT)[0]:
        piece = os.read(pipe, 65536)
        if not piece:
            time.sleep(_MOMENT)  # closed: there is only the program left to wait for
            break
        text += piece
    return text


def until_running(wine: Wine) -> None:
    """Wait for the service."""
    processes.until(wine.service_runs, f"the service to run; its log:\n{wine.log()}")
