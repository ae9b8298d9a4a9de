"""The device key: the identity of an endpoint, made on it and never leaving it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey

from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust import p256
from keyfast.trust.encoding import thumbprint


class DeviceKey:
    """A P-256 private key. Also used for the installation's own keys and for HPKE keys."""

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(generate_private_key(SECP256R1()))

    @classmethod
    def from_pem(cls, pem: Secret) -> Self:
        """Load a key from PKCS #8 PEM (RFC 5958).

        Raises:
            TrustError: it is not an unencrypted P-256 private key.
        """
        try:
            private = load_pem_private_key(pem.reveal(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause is dropped: a parser's message may quote what it was given.
            raise TrustError("the private key cannot be read") from None
        if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
            raise TrustError("the private key is not a P-256 key")
        return cls(private)

    def to_pem(self) -> Secret:
        """Return the key as unencrypted PKCS #8 PEM."""
        return Secret(self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @property
    def private(self) -> EllipticCurvePrivateKey:
        """The private key itself, for this room only."""
        return self._private

    @cached_property
    def jose(self) -> ECKey:
        """The private key as joserfc takes it, for this room and the agent's client assertions."""
        return ECKey.import_key(self._private)

    def public_jwk(self) -> dict[str, str]:
        """Return the public half as a JWK: ``kty``, ``crv``, ``x``, ``y``."""
        return dict(self._public)

    @cached_property
    def _public(self) -> dict[str, str]:
        return p256.public_jwk(self._private.public_key())

    @cached_property
    def thumbprint(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        return thumbprint(self.public_jwk())

    def __repr__(self) -> str:
        return f"DeviceKey({self.thumbprint})"


def parse_public_jwk(obj: object) -> dict[str, str]:
    """Check a public key that came from outside and return its four identifying members.

    Raises:
        TrustError: it is not a P-256 public key (RFC 7518 section 6.2.1), or carries its private half.
    """
    if not isinstance(obj, Mapping):
        raise TrustError("the key is not a JWK")
    if "d" in obj:
        raise TrustError("the key carries its private half")
    jwk = {name: obj.get(name) for name in ("kty", "crv", "x", "y")}
    if jwk["kty"] != "EC" or jwk["crv"] != "P-256":
        raise TrustError("the key is not a P-256 key")
    checked = {name: value for name, value in jwk.items() if isinstance(value, str)}
    if len(checked) != len(jwk):
        raise TrustError("the key is not a JWK")
    p256.load_point(checked["x"], checked["y"])
    return checked
