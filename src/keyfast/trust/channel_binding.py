"""The channel a logon is bound to: the certificate of the server's end (RFC 5929 section 4)."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256, Hash

from keyfast.errors import TrustError

_PREFIX = b"tls-server-end-point:"


def server_end_point(cert_der: bytes) -> bytes:
    """Return the application data of a ``tls-server-end-point`` channel binding (RFC 5929 section 4.1).

    The digest is the one the certificate is signed with, SHA-256 instead of MD5 and SHA-1. RFC 5929 leaves
    open what holds for signatures without a digest of their own (Ed25519); here SHA-256, as OpenSSL does.

    Args:
        cert_der: the server's certificate.

    Raises:
        TrustError: it is not a certificate.
    """
    try:
        signed_with = x509.load_der_x509_certificate(cert_der).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise TrustError("the server's certificate cannot be read") from cause
    weak = signed_with is None or isinstance(signed_with, MD5 | SHA1)
    digest = Hash(SHA256() if weak or signed_with is None else signed_with)
    digest.update(cert_der)
    return _PREFIX + digest.finalize()
