"""The volumes of a Windows machine. Fixtures follow the real tools; it was not run on real Windows yet."""

from keyfast.disks import bitlocker_json, manage_bde
from keyfast.disks.runner import CommandRunner, why
from keyfast.disks.volume import unknown_system, with_system
from keyfast.wire.messages import Volume

_SYSTEM = "C:"
_POWERSHELL_S = 60.0  # the first start after boot is slow


class WindowsDisks:
    """Reads the volumes of this Windows machine; ``runner`` runs the tools."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def volumes(self) -> tuple[Volume, ...]:
        """See ``Disks.volumes``."""
        asked = self._runner.run(bitlocker_json.ARGV, timeout=_POWERSHELL_S)
        volumes = bitlocker_json.parse(asked.stdout) if asked.code == 0 else None
        if volumes is not None:
            return with_system(volumes, "Get-BitLockerVolume shows no system volume", id_=_SYSTEM)
        status = self._runner.run(manage_bde.ARGV)
        volumes = manage_bde.parse(status.stdout) if status.code == 0 else None
        if volumes is not None:
            return with_system(volumes, "manage-bde shows no system volume", id_=_SYSTEM)
        detail = f"{why('Get-BitLockerVolume', asked)}; {why('manage-bde', status)}"
        return (unknown_system(detail, id_=_SYSTEM),)
