"""P-256 keys and ES256 signatures, as JOSE writes them (RFC 7518 sections 3.4 and 6.2)."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keyfast.errors import TrustError
from keyfast.trust.encoding import b64u, unb64u

_SIZE = 32
_ES256 = ECDSA(SHA256())
# SubjectPublicKeyInfo of any uncompressed P-256 point (RFC 5480): loading it is faster than building the
# key from numbers, and OpenSSL checks that the point is on the curve.
_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def load_point(x: str, y: str) -> EllipticCurvePublicKey:
    """Load a public key from its coordinates (base64url).

    Raises:
        TrustError: the coordinates are not those of a point on the curve.
    """
    try:
        point = unb64u(x) + unb64u(y)
        key = load_der_public_key(_SPKI + point)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise TrustError("the key is not a point of P-256") from cause
    # Both halves are checked by their text, for 31 and 33 bytes would also load.
    if len(x) != len(y) or not isinstance(key, EllipticCurvePublicKey):
        raise TrustError("the key is not a point of P-256")
    return key


def public_jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    """Return the public key as a JWK with the four members that identify it."""
    numbers = key.public_numbers()
    x, y = (b64u(number.to_bytes(_SIZE, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def holds(key: EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    """Tell whether an ES256 signature (64 bytes, r and s) is the key's over the message."""
    if len(signature) != 2 * _SIZE:
        return False
    r, s = int.from_bytes(signature[:_SIZE], "big"), int.from_bytes(signature[_SIZE:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, _ES256)
    except InvalidSignature:
        return False
    return True
