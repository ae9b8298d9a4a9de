"""Choose the adapter for this machine."""

import sys

from keyfast.disks.linux import LinuxDisks
from keyfast.disks.macos import MacDisks
from keyfast.disks.ports import Disks
from keyfast.disks.runner import CommandRunner
from keyfast.disks.volume import unknown_system
from keyfast.disks.windows import WindowsDisks
from keyfast.wire.messages import Volume


def for_this_machine(runner: CommandRunner, platform: str = sys.platform) -> Disks:
    """Return the disks of ``platform`` (as in ``sys.platform``), read through ``runner``."""
    if platform == "linux":
        return LinuxDisks(runner)
    if platform == "win32":
        return WindowsDisks(runner)
    if platform == "darwin":
        return MacDisks(runner)
    return _UnknownDisks(platform)


class _UnknownDisks:
    def __init__(self, platform: str) -> None:
        self._platform = platform

    def volumes(self) -> tuple[Volume, ...]:
        return (unknown_system(f"disks of {self._platform} cannot be read by this version"),)
