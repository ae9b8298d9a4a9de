"""The programs that make an MSI, and how they are run."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from keyfast.errors import MissingToolError, NotReadyError
from keyfast.installers.stamp import Missing

COMPILER = "x86_64-w64-mingw32-gcc"
TOOLS = (
    Missing("wixl", "wixl"),
    Missing("msibuild", "msitools"),
    Missing("msiinfo", "msitools"),
    Missing("osslsigncode", "osslsigncode"),
    Missing(COMPILER, "gcc-mingw-w64-x86-64-win32"),
)
TIMEOUT_S = 300
_SAID = 400


def missing() -> tuple[Missing, ...]:
    """Return the programs that are not here."""
    return tuple(tool for tool in TOOLS if shutil.which(tool.program) is None)


def demand() -> None:
    """Refuse to start what cannot be finished.

    Raises:
        MissingToolError: a program is not here; the repair installs all that are missing.
    """
    if absent := missing():
        names = ", ".join(tool.program for tool in absent)
        packages = " ".join(sorted({tool.package for tool in absent}))
        raise MissingToolError(f"a Windows package needs {names}", repair=f"apt-get install {packages}")


def run(arguments: Sequence[str], *, folder: Path | None = None, silent: bool = False) -> bytes:
    """Run a program and return what it printed. No secret is ever an argument.

    Args:
        arguments: program and arguments.
        folder: its working folder.
        silent: whatever it says on its error output is a fault; wixl ignores what it does not know with a warning.

    Raises:
        MissingToolError: it is not here.
        NotReadyError: it failed, or did not finish.
    """
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=TIMEOUT_S, check=False, cwd=folder)
    except FileNotFoundError as cause:
        package = {tool.program: tool.package for tool in TOOLS}.get(arguments[0], arguments[0])
        raise MissingToolError(f"{arguments[0]} is not installed", repair=f"apt-get install {package}") from cause
    except subprocess.TimeoutExpired as cause:
        raise NotReadyError(f"{arguments[0]} did not finish within {TIMEOUT_S} s") from cause
    if done.returncode or (silent and done.stderr.strip()):
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise NotReadyError(f"{arguments[0]} failed (exit {done.returncode}): {said[-_SAID:]}")
    return done.stdout
