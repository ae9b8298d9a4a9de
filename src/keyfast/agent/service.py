"""The agent as a systemd service."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from keyfast.errors import EXIT_START_AGAIN, ConflictError

NAME = "keyfast-agent.service"
UNIT_DIRECTORY = Path("/etc/systemd/system")
_RUNNING = Path("/run/systemd/system")

Call = Callable[[Sequence[str]], None]

_UNIT = """\
[Unit]
Description=Keyfast agent
Documentation=man:keyfast-agent(8)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart="{program}" run --state-dir "{state}"
Restart=always
RestartSec=10
SuccessExitStatus={again}
TimeoutStopSec=10
UMask=0077
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def unit_text(program: Path, state: Path) -> str:
    """Return the unit: restarted for ever, and hardened as far as the inventory allows.

    ProtectSystem, ProtectHome and PrivateTmp would show the agent mounts that the machine does not have,
    and ProtectClock would take the block devices whose LUKS headers it reads.
    """
    return _UNIT.format(program=_escaped(program), state=_escaped(state), again=EXIT_START_AGAIN)


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
        (units / NAME).write_text(unit_text(program, state), encoding="utf-8")
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


def _escaped(path: Path) -> str:
    """Quote for a unit file (systemd.syntax(7), systemd.service(5)): specifiers, variables, quotes."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("%", "%%").replace("$", "$$")
