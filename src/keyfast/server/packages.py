"""The builders of packages that this server has, and where they keep things."""

from collections.abc import Mapping
from pathlib import Path

from keyfast import __version__
from keyfast.core.package import PackageKind
from keyfast.installers import bundle
from keyfast.installers.stamp import Installer, Missing, Progress, Stamp
from keyfast.services.package_build import Workshop
from keyfast.services.package_files import BASES, PackageFiles
from keyfast.settings import Settings


class PlainBundle:
    """Implements ``Installer`` for the plain bundle: nothing of it is built before the stamp."""

    kind = PackageKind.BUNDLE

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return ()

    def base(self, told: Progress) -> Path:  # noqa: ARG002 - the protocol's signature
        """See ``Installer.base``."""
        return Path()

    def stamp(self, base: Path, stamp: Stamp) -> bytes:  # noqa: ARG002 - the protocol's signature
        """See ``Installer.stamp``."""
        return bundle.build(stamp.bundle, stamp.built_at)


def open_workshop(settings: Settings) -> Workshop:
    """The workshop of a server; folders are made with mode 0700 when they are first needed."""
    return Workshop(PackageFiles(settings.package_files, settings.packages.keep), _installers(settings))


def _installers(settings: Settings) -> Mapping[PackageKind, Installer]:
    # Bases of one version lie together, so that what is no longer used can be removed as a whole.
    _ = settings.package_files / BASES / __version__
    return {PackageKind.BUNDLE: PlainBundle()}
