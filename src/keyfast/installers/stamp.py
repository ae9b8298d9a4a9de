"""What every builder of packages takes and gives: a base artefact is built once, and stamped per package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keyfast.core.package import PackageKind
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import encode

Progress = Callable[[str, float], None]
"""Told what is being done and how far it is, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A program that a builder needs and that is not here.

    Attributes:
        program: its name.
        package: the Debian package that brings it.
    """

    program: str
    package: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one package out of a base artefact. Same stamp and base, same bytes, but for signatures.

    Attributes:
        bundle: what the agent reads; holds the package's secrets.
        built_at: server time, unix seconds.
        server_url: first URL of the bundle's access profile.
        mode: authentication mode, ``oauth`` or ``windows``.
        product_code: UUID text of its own for every package.
        package_code: UUID text of its own for every package.
    """

    bundle: Bundle
    built_at: int
    server_url: str
    mode: str
    product_code: str
    package_code: str

    @property
    def secret(self) -> bytes:
        """Content of the bundle file."""
        return encode(self.bundle)

    def values(self) -> dict[str, str]:
        """What anybody may read on the endpoint; the names are those of the client database's mirrors."""
        account = self.bundle.account
        return {
            "ServerUrl": self.server_url,
            "AuthenticationMode": self.mode,
            "AccountName": account.name if account else "",
            "AccountDomain": account.domain if account else "",
            "InstallationId": self.bundle.installation,
            "PackageId": self.bundle.package,
        }


class Installer(Protocol):
    """Builds packages of one kind. Calls block; a service runs them in a thread."""

    @property
    def kind(self) -> PackageKind:
        """What comes out."""
        ...

    def missing(self) -> tuple[Missing, ...]:
        """Return the programs that are not here; empty if it can build."""
        ...

    def base(self, told: Progress) -> Path:
        """Return the base artefact of this version, built first if there is none; doing it again is harmless.

        Raises:
            KeyfastError: it cannot be built; the message says why and names what to install.
        """
        ...

    def stamp(self, base: Path, stamp: Stamp) -> bytes:
        """Return one signed package.

        Raises:
            KeyfastError: it cannot be made, or its signature does not verify.
        """
        ...
