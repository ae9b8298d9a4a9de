"""The agent as a systemd service."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from keyfast.core import systemd_unit
from keyfast.errors import ConflictError

NAME = systemd_unit.NAME
UNIT_DIRECTORY = Path("/etc/systemd/system")
_RUNNING = Path("/run/systemd/system")

Call = Callable[[Sequence[str]], None]


def systemd_runs() -> bool:
    """Tell whether systemd is this machine's service manager (sd_booted(3))."""
    return _RUNNING.is_dir()


def systemctl(arguments: Sequence[str]) -> None:
    """Run ``systemctl``.

    Raises:
        ConflictError: it failed.
    """
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ConflictError(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()[:300]}")


def install_service(program: Path, state: Path, *, units: Path = UNIT_DIRECTORY, call: Call = systemctl) -> None:
    """Write the unit, enable it and start it; doing it again is harmless.

    Raises:
        ConflictError: the unit cannot be written, or systemd refuses it.
    """
    try:
        (units / NAME).write_text(systemd_unit.unit_text(str(program), str(state)), encoding="utf-8")
    except OSError as cause:
        raise ConflictError(f"cannot write {units / NAME}: {cause.strerror}", repair="run as root") from cause
    call(["daemon-reload"])
    call(["enable", NAME])
    call(["restart", NAME])


def remove_service(*, units: Path = UNIT_DIRECTORY, call: Call = systemctl) -> bool:
    """Stop and remove the unit; False if there was none.

    Raises:
        ConflictError: systemd refuses, or the unit cannot be removed.
    """
    unit = units / NAME
    if not unit.exists():
        return False
    call(["disable", "--now", NAME])
    try:
        unit.unlink()
    except OSError as cause:
        raise ConflictError(f"cannot remove {unit}: {cause.strerror}", repair="run as root") from cause
    call(["daemon-reload"])
    return True
