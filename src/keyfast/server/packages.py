"""The builders of packages that this server has, and where each keeps its things."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from keyfast import __version__
from keyfast.core.package import PackageKind
from keyfast.installers.bundle import BundleInstaller
from keyfast.installers.deb import DebInstaller
from keyfast.installers.macos_pkg import MacosInstaller
from keyfast.installers.msi.installer import MsiInstaller
from keyfast.installers.msi.interpreter import from_embeddable, from_wheels
from keyfast.installers.msi.signing import Signer, own_signer
from keyfast.installers.rpm import RpmInstaller
from keyfast.installers.stamp import Installer
from keyfast.installers.wheels import VARIABLE, Wheels
from keyfast.services.package_build import Workshop
from keyfast.services.package_files import BASES, PackageFiles
from keyfast.settings import PackagesSettings, Settings


def open_workshop(settings: Settings, name: str, clock: Callable[[], float]) -> Workshop:
    """The workshop of a server. Nothing is made, fetched or looked for before the first package is ordered.

    Args:
        settings: of the server.
        name: of this installation's own certificate for signing packages.
        clock: unix seconds.
    """
    chosen, signing = settings.packages, settings.package_signing
    # Bases of one version lie together, so that what is no longer used is removed as a whole.
    bases = settings.package_files / BASES / __version__
    wheels = Wheels(settings.package_files / "wheels", _local_wheels(chosen))
    installers: Mapping[PackageKind, Installer] = {
        PackageKind.BUNDLE: BundleInstaller(settings.package_files),
        PackageKind.DEB: DebInstaller(wheels, bases),
        PackageKind.RPM: RpmInstaller(wheels, bases, chosen.rpm_key or signing / "rpm.asc"),
        PackageKind.MSI: _msi(chosen, bases, wheels, _signer(chosen, signing / "msi", name, clock)),
        PackageKind.PKG: MacosInstaller(wheels, bases),
    }
    return Workshop(PackageFiles(settings.package_files, chosen.keep), installers)


def _local_wheels(chosen: PackagesSettings) -> Path | None:
    named = os.environ.get(VARIABLE)
    return chosen.wheels or (Path(named) if named else None)


def _msi(chosen: PackagesSettings, bases: Path, wheels: Wheels, signer: Signer) -> MsiInstaller:
    if chosen.python_embed is None:
        return MsiInstaller(bases, wheels, signer, partial(from_wheels, wheels.cache, wheels.local), "wheels")
    digest = chosen.python_embed_sha256
    return MsiInstaller(bases, wheels, signer, partial(from_embeddable, chosen.python_embed, digest), digest)


def _signer(chosen: PackagesSettings, folder: Path, name: str, clock: Callable[[], float]) -> Signer:
    if chosen.signing_certificate is not None and chosen.signing_key is not None:
        return Signer(chosen.signing_certificate, chosen.signing_key, chosen.signing_certificate)
    return OwnSigner(folder / "signer.pem", folder / "signer.key", folder / "authority.pem", folder, name, clock)


@dataclass(frozen=True)
class OwnSigner(Signer):
    """The installation's own signer, made when it first signs.

    Attributes:
        folder: that keeps it.
        name: common name of its certificates.
        clock: unix seconds.
    """

    folder: Path
    name: str
    clock: Callable[[], float]

    def sign(self, unsigned: Path, signed: Path) -> None:
        """See ``Signer.sign``."""
        own_signer(self.folder, self.name, datetime.fromtimestamp(self.clock(), UTC)).sign(unsigned, signed)
