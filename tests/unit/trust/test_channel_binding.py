"""The channel binding of a certificate, for every way to sign one."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keyfast.errors import TrustError
from keyfast.trust.channel_binding import server_end_point

EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keyfast.example")])


def certificate(key, algorithm, rsa_padding=None):
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, algorithm, rsa_padding=rsa_padding).public_bytes(Encoding.DER)


def resigned(der, old, new):
    """The certificate with another signature algorithm named in it; who computes a binding verifies nothing."""
    assert der.count(bytes.fromhex(old)) == 2
    return der.replace(bytes.fromhex(old), bytes.fromhex(new))


RSA_SHA256, RSA_SHA1, RSA_MD5 = "2a864886f70d01010b", "2a864886f70d010105", "2a864886f70d010104"
PSS = padding.PSS(padding.MGF1(SHA384()), 48)
SHA256_RSA = certificate(RSA, SHA256())


@pytest.mark.parametrize(
    ("der", "digest"),
    [
        (certificate(EC, SHA256()), "sha256"),
        (certificate(EC, SHA384()), "sha384"),
        (certificate(EC, SHA512()), "sha512"),
        (certificate(RSA, SHA384(), PSS), "sha384"),
        (SHA256_RSA, "sha256"),
        (resigned(SHA256_RSA, RSA_SHA256, RSA_SHA1), "sha256"),
        (resigned(SHA256_RSA, RSA_SHA256, RSA_MD5), "sha256"),
        (certificate(ed25519.Ed25519PrivateKey.generate(), None), "sha256"),
    ],
    ids=["ecdsa-256", "ecdsa-384", "ecdsa-512", "pss-384", "rsa-256", "rsa-sha1", "rsa-md5", "ed25519"],
)
def test_the_digest_is_the_certificates_own_unless_it_is_weak(der, digest):
    assert server_end_point(der) == b"tls-server-end-point:" + hashlib.new(digest, der).digest()


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x01"])
def test_what_is_no_certificate(der):
    with pytest.raises(TrustError):
        server_end_point(der)
