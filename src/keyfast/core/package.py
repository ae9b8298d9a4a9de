"""What a package is made as, and where it puts things on an endpoint: builder and agent must agree on it."""

from dataclasses import dataclass
from enum import StrEnum

BUNDLE_FILE = "keyfast.json"
"""The one secret file of a package; the agent takes it at its next start, and removes it."""


class PackageKind(StrEnum):
    """Kinds of packages, by the file that comes out."""

    BUNDLE = "bundle"
    DEB = "deb"
    RPM = "rpm"
    MSI = "msi"
    PKG = "pkg"


SUFFIXES: dict[PackageKind, str] = {
    PackageKind.BUNDLE: ".tar.gz",
    PackageKind.DEB: ".deb",
    PackageKind.RPM: ".rpm",
    PackageKind.MSI: ".msi",
    PackageKind.PKG: ".pkg",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of the agent on one operating system.

    Attributes:
        program: the agent itself, replaced by every upgrade.
        state: the client database; outlives upgrades, and an uninstallation that does not purge.
        package: where an installer leaves ``BUNDLE_FILE`` (mode 0600 in a 0700 folder, or the like by ACL).
    """

    program: str
    state: str
    package: str


LINUX = Places("/usr/lib/keyfast-agent", "/var/lib/keyfast-agent", "/etc/keyfast-agent/package")
MACOS = Places(
    "/Library/Keyfast/Agent",
    "/Library/Application Support/Keyfast/Agent",
    "/Library/Application Support/Keyfast/Agent/package",
)
WINDOWS = Places(
    r"%ProgramFiles%\Keyfast\Agent", r"%ProgramData%\Keyfast\Agent", r"%ProgramFiles%\Keyfast\Agent\package"
)
"""The folders behind the two names come from SHGetKnownFolderPath; a service's environment may lie about them.

The package does not lie in ProgramData: there anybody could have made, and so owned, its folder beforehand.
"""


class PackageRefusal(StrEnum):
    """Why an endpoint did not take a package; what it tells its server."""

    UNREADABLE = "unreadable_package"
    TAMPERED = "tampered_package"
    FOREIGN = "foreign_installation"
