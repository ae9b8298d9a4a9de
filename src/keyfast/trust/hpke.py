"""Seal a secret for one endpoint: HPKE base mode (RFC 9180) with DHKEM(P-256), HKDF-SHA256, AES-128-GCM."""

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust import p256
from keyfast.trust.device import DeviceKey, parse_public_jwk
from keyfast.trust.encoding import b64u, framed, unb64u

_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def seal(
    public_jwk: Mapping[str, str], plaintext: Secret | bytes, *, purpose: str, endpoint: str, reference: str
) -> str:
    """Seal ``plaintext`` so that only the holder of the key opens it, and only as what it was meant for.

    Args:
        public_jwk: the endpoint's HPKE key.
        plaintext: what to seal.
        purpose: what it is for.
        endpoint: endpoint id.
        reference: the very thing it belongs to, for example a profile's number.

    Raises:
        TrustError: the key is not a P-256 public key.
    """
    raw = plaintext.reveal() if isinstance(plaintext, Secret) else plaintext
    jwk = parse_public_jwk(public_jwk)
    return b64u(_SUITE.encrypt(raw, p256.load_point(jwk["x"], jwk["y"]), _info(purpose, endpoint, reference)))


def open_sealed(text: str, key: DeviceKey, *, purpose: str, endpoint: str, reference: str) -> Secret:
    """Open what was sealed for this key and meant for exactly this.

    Raises:
        TrustError: it is for another key or another use, or was altered.
    """
    try:
        return Secret(_SUITE.decrypt(unb64u(text), key.private, _info(purpose, endpoint, reference)))
    except (ValueError, InvalidTag) as cause:
        raise TrustError("the sealed value is for another key or another use, or was altered") from cause


def _info(purpose: str, endpoint: str, reference: str) -> bytes:
    return framed("keyfast hpke 1", purpose, endpoint, reference)
