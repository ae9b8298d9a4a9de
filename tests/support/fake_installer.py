"""A builder of packages whose artefacts are text, and that fails or waits when it is told to."""

import threading
from pathlib import Path

from keyfast.core.package import PackageKind
from keyfast.installers.stamp import Missing, Stamp


class FakeInstaller:
    """Implements ``Installer``; counts base artefacts."""

    def __init__(self, kind: PackageKind = PackageKind.MSI) -> None:
        self.kind = kind
        self.needs: tuple[Missing, ...] = ()
        self.bases = 0
        self.fault: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.told = threading.Event()
        self.stamps: list[Stamp] = []

    def missing(self):
        """See ``Installer.missing``."""
        return self.needs

    def base(self, told):
        """See ``Installer.base``; waits until it may go on."""
        told("building the base", 0.5)
        self.told.set()
        assert self.go_on.wait(30)
        self.bases += 1
        return Path("base")

    def stamp(self, base, stamp):
        """See ``Installer.stamp``."""
        assert base == Path("base")
        if self.fault is not None:
            raise self.fault
        self.stamps.append(stamp)
        return b"\n".join([stamp.secret, stamp.product_code.encode(), stamp.package_code.encode()])
