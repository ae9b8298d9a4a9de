"""Artefacts of packages on this server's disk: each is whole or absent, and its owner alone reads it.

They hold secrets: an enrolment token, and in Windows mode the account's password.
"""

import contextlib
import shutil
from pathlib import Path

from keyfast.trust.files import write_private

BASES = "base"
SIGNING = "signing"


class PackageFiles:
    """The folder ``packages`` of a data directory.

    Args:
        directory: the folder; made when the first package is.
        keep: base artefacts of how many versions of the agent are kept.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self._directory = directory
        self._keep = keep

    def path(self, name: str) -> Path:
        """Where an artefact lies, or would."""
        return self._directory / name

    def write(self, name: str, artefact: bytes) -> None:
        """Write an artefact durably. May be done again.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path(name), artefact, replace=True)

    def remove(self, name: str) -> None:
        """Remove an artefact, or what is left of one; done again it is harmless."""
        for path in (self.path(name), self.path(f".{name}.new")):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def forget_old_bases(self) -> None:
        """Remove the base artefacts of versions that are not kept: each is built anew when it is wanted."""
        bases = self._directory / BASES
        versions = [path for path in bases.iterdir() if path.is_dir()] if bases.is_dir() else []
        versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in versions[self._keep :]:
            shutil.rmtree(path, ignore_errors=True)
