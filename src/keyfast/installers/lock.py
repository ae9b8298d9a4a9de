"""The agent's lock: exact versions with hashes for all platforms, and what of it one platform needs."""

from collections.abc import Mapping
from pathlib import Path

from packaging.markers import Marker

LOCK = Path(__file__).with_name("agent.lock")


def requirements(lock: str, markers: Mapping[str, str], python: str) -> str:
    """Return the part of ``lock`` that concerns a computer, without markers and comments.

    Args:
        lock: content of a lock, one requirement in each block of lines.
        markers: what environment markers say on that computer.
        python: its version of Python, ``3.12``.
    """
    there = {
        **markers,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    lines, wanted = [], False
    for line in lock.splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith((" ", "\t")):
            name, _, marker = line.rstrip("\\ ").partition(" ; ")
            wanted = not marker or Marker(marker).evaluate(there)
            line = f"{name.strip()} \\"  # noqa: PLW2901 - the same line without its marker
        if wanted:
            lines.append(line)
    return "\n".join(lines) + "\n"
