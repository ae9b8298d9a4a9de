"""The agent as files: its modules, its libraries for every Python it runs on, and what starts it."""

from collections.abc import Iterable, Sequence

from keyfast.core.package import LINUX, MACOS, Places
from keyfast.core.systemd_unit import NAME, unit_text
from keyfast.installers.agent_rooms import agent_files
from keyfast.installers.stamp import Progress
from keyfast.installers.tree import Entry, merged, shared, with_folders
from keyfast.installers.wheels import LINUX_AARCH64, LINUX_X86_64, MACOS_ARM64, PYTHONS, Target, Wheels

PROGRAM = "keyfast-agent"
LINUX_GIVEN = ("etc", "usr", "usr/bin", "usr/lib", "usr/lib/systemd", "usr/lib/systemd/system")
"""Folders that every Linux system has, and owns."""

MACOS_PYTHON = "/Library/Frameworks/Python.framework/Versions/{version}/bin/python{version}"
LINUX_PYTHON = "/usr/bin/python{version}"

_START = '''\
"""Starts the agent with its own code and libraries before all others."""

import platform
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent
_OWN = _HOME / f"lib-{platform.machine()}"
if not _OWN.is_dir():
    sys.exit(f"keyfast-agent: has no libraries for this processor ({platform.machine()})")
sys.path[:0] = [str(_HOME / "lib"), str(_OWN)]

from keyfast.agent.main import main  # noqa: E402

sys.exit(main())
'''

_LAUNCHER = """\
#!/bin/sh
# Starts the agent with the newest Python that it runs on. The environment has no say in which that is (this runs
# as root), nor in what is imported (-I), and nothing is written beside the code (-B).
home=$(dirname "$(readlink -f "$0")"){beside}
for python in {pythons}; do
    if [ -x "$python" ]; then
        exec "$python" -I -B "$home/start.py" "$@"
    fi
done
echo "keyfast-agent: needs one of {pythons}; to repair: {repair}" >&2
exit 1
"""


def linux_tree(wheels: Wheels, told: Progress) -> tuple[Entry, ...]:
    """Return the agent for Linux, for x86-64 and AArch64.

    Raises:
        KeyfastError: its libraries cannot be had (see ``Wheels.tree``).
    """
    home = LINUX.program.lstrip("/")
    launcher = _launcher(LINUX_PYTHON, "install python3.11 or newer from your distribution", f"/../lib/{PROGRAM}")
    return with_folders(
        (
            *_agent(home, wheels, (LINUX_X86_64, LINUX_AARCH64), told),
            # A file and not a link into the folder: SELinux lets a service start what is labelled as a program.
            Entry(f"usr/bin/{PROGRAM}", content=launcher),
            Entry(f"usr/lib/systemd/system/{NAME}", 0o644, unit_text(f"/usr/bin/{PROGRAM}", LINUX.state).encode()),
            *_package_folder(LINUX),
        )
    )


def macos_tree(wheels: Wheels, told: Progress) -> tuple[Entry, ...]:
    """Return the agent for macOS on Apple silicon.

    Raises:
        KeyfastError: its libraries cannot be had (see ``Wheels.tree``).
    """
    home = MACOS.program.lstrip("/")
    launcher = _launcher(MACOS_PYTHON, "install Python 3.11 or newer from python.org")
    return with_folders(
        (
            *_agent(home, wheels, (MACOS_ARM64,), told),
            Entry(f"{home}/{PROGRAM}", content=launcher),
            Entry(f"usr/local/bin/{PROGRAM}", link=f"/{home}/{PROGRAM}"),
            *_package_folder(MACOS),
        )
    )


def _agent(home: str, wheels: Wheels, targets: Sequence[Target], told: Progress) -> Iterable[Entry]:
    kinds = {}
    for number, target in enumerate(targets):
        told(f"libraries for {target.name}", number / (len(targets) + 1))
        trees = [wheels.tree(target, python) for python in PYTHONS]
        kinds[target.markers["platform_machine"]] = merged(trees)
    for kind, files in shared(kinds).items():
        folder = f"{home}/lib-{kind}" if kind else f"{home}/lib"
        yield Entry(folder)
        yield from (Entry(f"{folder}/{path}", 0o644, content) for path, content in files.items())
    for path, place in agent_files().items():
        yield Entry(f"{home}/lib/{path}", 0o644, place.read_bytes())
    yield Entry(f"{home}/start.py", 0o644, _START.encode())


def _launcher(place: str, repair: str, beside: str = "") -> bytes:
    pythons = " ".join(place.format(version=version) for version in reversed(PYTHONS))
    return _LAUNCHER.format(pythons=pythons, repair=repair, beside=beside).encode()


def _package_folder(places: Places) -> Iterable[Entry]:
    folder = places.package.lstrip("/")
    return (Entry(folder.rsplit("/", 1)[0], 0o700), Entry(folder, 0o700))
