"""Authenticode: sign an MSI, and verify what was signed before anybody gets it.

An installation that has no certificate of its own for this makes one: an authority that may sign code and nothing
else, whose private key signs one certificate and is then forgotten, so that nobody can ever sign another by it.
Whoever lets computers trust it (Trusted Root and Trusted Publishers) trusts this server's packages and nothing more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyfast.errors import KeyFileError, NotReadyError, TrustError
from keyfast.installers.base import made_once
from keyfast.installers.msi import tools
from keyfast.trust.files import write_private
from keyfast.trust.tls import key_usage

YEARS = 20
_BITS = 3072
_DESCRIPTION = "Keyfast Agent"
_EXPOSED = 0o077


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate for signing code, with its private key; both as files, because the key must not be an argument.

    Attributes:
        chain: PEM of the certificate, followed by those above it.
        key: PEM of the private key, readable by its owner alone.
        trusted: PEM of the authorities it is verified by.
    """

    chain: Path
    key: Path
    trusted: Path

    def sign(self, unsigned: Path, signed: Path) -> None:
        """Sign a file, and verify the result.

        Raises:
            KeyFileError: others can read the private key.
            MissingToolError: the signer is not here.
            NotReadyError: it refuses.
            TrustError: what it made does not verify.
        """
        self._demand_private()
        what = ["-certs", str(self.chain), "-key", str(self.key), "-h", "sha256", "-n", _DESCRIPTION]
        tools.run(["osslsigncode", "sign", *what, "-add-msi-dse", "-in", str(unsigned), "-out", str(signed)])
        verify(signed, self.trusted)

    def _demand_private(self) -> None:
        try:
            mode = self.key.stat().st_mode
        except OSError as cause:
            raise KeyFileError(f"cannot read the signing key {self.key}: {cause.strerror}") from cause
        if mode & _EXPOSED:
            raise KeyFileError(f"others can read the signing key {self.key}", repair=f"chmod 600 {self.key}")


def verify(file: Path, trusted: Path) -> None:
    """Verify the signature of a file.

    Raises:
        MissingToolError: the verifier is not here.
        TrustError: there is no signature, it is another's, or the file was changed after it was made.
    """
    try:
        # No time stamp was asked for, so there is none to verify.
        tools.run(["osslsigncode", "verify", "-in", str(file), "-CAfile", str(trusted), "-ignore-timestamp"])
    except NotReadyError as cause:
        raise TrustError(f"the signature of {file.name} does not verify") from cause


def own_signer(folder: Path, name: str, now: datetime) -> Signer:
    """Return the installation's own signer; made at the first call.

    Args:
        folder: that keeps it; mode 0700.
        name: common name of the certificates.
        now: server time, aware.
    """
    if not folder.is_dir():
        with made_once(folder) as made:
            for file, content in _make(name, now).items():
                write_private(made / file, content, replace=False)
    return Signer(folder / "signer.pem", folder / "signer.key", folder / "authority.pem")


def _make(name: str, now: datetime) -> dict[str, bytes]:
    authority_key, key = (rsa.generate_private_key(65537, _BITS) for _ in range(2))
    issuer, subject = _named(f"{name} authority"), _named(name)
    authority = _certificate(issuer, issuer, authority_key, now, authority=True).sign(authority_key, SHA256())
    signer = _certificate(subject, issuer, key, now, authority=False).sign(authority_key, SHA256())
    roots = authority.public_bytes(Encoding.PEM)
    return {
        "signer.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "signer.pem": signer.public_bytes(Encoding.PEM) + roots,
        "authority.pem": roots,
    }


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, now: datetime, *, authority: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - timedelta(days=1)).astimezone(UTC))
        .not_valid_after((now + timedelta(days=365 * YEARS)).astimezone(UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(key_usage(authority=authority), critical=True)
        # In the authority as well: computers that trust it for code do not trust it for servers.
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
