"""What every package embeds: ``keyfast.json``, the one file of it that holds secrets."""

import msgspec
from msgspec.structs import replace


class BundleAccount(msgspec.Struct, frozen=True):
    """The client authentication account as a Windows package embeds it.

    Attributes:
        name: logon name without the domain.
        domain: short (NetBIOS) name of the domain.
        password: secret.
        generation: number of the credential generation the password is.
        realm: the domain's Kerberos realm, empty where there is none.
    """

    name: str
    domain: str
    password: str
    generation: int
    realm: str = ""

    def __repr__(self) -> str:
        """Never the password."""
        return f"BundleAccount({self.domain}\\{self.name}, generation={self.generation})"


class Bundle(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every package embeds (file ``keyfast.json``).

    Attributes:
        installation: installation id.
        root: the root key as a JWK in JSON text.
        delegations: the root's delegations (JWS).
        profile: signed access profile.
        statement: the enrolment token (signed software statement); removed once enrolled.
        package: package id.
        account: the client authentication account, in Windows mode.
        seal: signed ``PackageSeal`` (JWS) over everything else.
    """

    installation: str
    root: str
    delegations: tuple[str, ...]
    profile: str
    statement: str
    package: str
    account: BundleAccount | None = None
    seal: str = ""

    def __repr__(self) -> str:
        """Neither the enrolment token nor the password."""
        return f"Bundle(package={self.package!r}, installation={self.installation!r}, account={self.account!r})"


class PackageSeal(msgspec.Struct, frozen=True):
    """Claims of a package's seal (typ ``keyfast-package+jwt``, profile role).

    Attributes:
        installation: id of the installation.
        package: package id.
        digest: SHA-256 (base64url) of the rest of the bundle, see ``sealed_bytes``.
    """

    installation: str
    package: str
    digest: str


_canonical = msgspec.json.Encoder(order="deterministic")


def sealed_bytes(bundle: Bundle) -> bytes:
    """Encode what the seal of a bundle covers: everything else, canonically."""
    return _canonical.encode(replace(bundle, seal=""))
