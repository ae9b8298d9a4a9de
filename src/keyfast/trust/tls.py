"""The installation's own certificate authority (RFC 5280), P-256."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyfast.core.secret import Secret
from keyfast.errors import TrustError, UsageError
from keyfast.trust.device import DeviceKey

AUTHORITY_DAYS = 20 * 365
SERVER_DAYS = 397
_BACKDATED = timedelta(days=1)
"""A certificate is valid a little before it is made, for endpoints whose clock is behind."""


def create_authority(name: str, now: datetime) -> tuple[bytes, Secret]:
    """Make a certificate authority for 20 years.

    Returns:
        The certificate (PEM) and the private key (PKCS #8 PEM).
    """
    key = DeviceKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(key, subject, subject, now, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
    )
    return builder.sign(key.private, SHA256()).public_bytes(Encoding.PEM), key.to_pem()


def issue_certificate(
    ca_cert_pem: bytes, ca_key: Secret, names: Sequence[str], now: datetime, days: int = SERVER_DAYS
) -> tuple[bytes, Secret]:
    """Issue a server certificate; it never outlives the authority.

    Args:
        ca_cert_pem: certificate of the authority.
        ca_key: its private key (PEM).
        names: DNS names and IP addresses, at least one.
        now: server time, aware.
        days: how long it is valid.

    Returns:
        The certificate (PEM) and its private key (PKCS #8 PEM).

    Raises:
        TrustError: the authority cannot be read, or certificate and key do not belong together.
        UsageError: a name is not one.
    """
    authority, signer = _load(ca_cert_pem), DeviceKey.from_pem(ca_key)
    if authority.public_key() != signer.private.public_key():
        raise TrustError("the authority's certificate and its private key do not belong together")
    key = DeviceKey.generate()
    end = min(now + timedelta(days=days), authority.not_valid_after_utc)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.private.public_key())
    builder = (
        _builder(key, x509.Name([]), authority.subject, now, end)
        # Critical because the subject is empty (RFC 5280 section 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    return builder.sign(signer.private, SHA256()).public_bytes(Encoding.PEM), key.to_pem()


def days_left(cert_pem: bytes, now: datetime) -> int:
    """Return the whole days until a certificate ends; negative when it has ended.

    Raises:
        TrustError: it is not a certificate.
    """
    return (_load(cert_pem).not_valid_after_utc - now).days


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself; times in unix seconds.

    Attributes:
        begins_at, ends_at: when it is valid.
        names: DNS names and IP addresses, as text.
    """

    begins_at: int
    ends_at: int
    names: frozenset[str]


def facts(cert_pem: bytes) -> CertificateFacts:
    """Read a certificate; of several the first.

    Raises:
        TrustError: it is not one.
    """
    found = _load(cert_pem)
    told: list[object] = []
    for extension in found.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            told += extension.value.get_values_for_type(x509.DNSName)
            told += extension.value.get_values_for_type(x509.IPAddress)
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    return CertificateFacts(int(begins.timestamp()), int(ends.timestamp()), frozenset(map(str, told)))


def signed_by(cert_pem: bytes, authority_pem: bytes) -> bool:
    """Tell whether an authority signed a certificate.

    Raises:
        TrustError: one of them is not a certificate.
    """
    try:
        _load(cert_pem).verify_directly_issued_by(_load(authority_pem))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(
    key: DeviceKey, subject: x509.Name, issuer: x509.Name, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    public = key.private.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - _BACKDATED).astimezone(UTC))
        .not_valid_after(end.astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """What a key may do (RFC 5280 section 4.2.1.3): an authority signs certificates, others sign nothing but data."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    if not all(names) or not names:
        raise UsageError("a server certificate needs names, and none of them empty")
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # not an address, so it is a DNS name
    try:
        return x509.DNSName(name.encode("idna").decode("ascii"))
    except ValueError as cause:
        raise UsageError(f"{name!r} is not a DNS name") from cause


def _load(cert_pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(cert_pem)
    except ValueError as cause:
        raise TrustError("the certificate cannot be read") from cause
