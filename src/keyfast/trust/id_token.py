"""ID tokens of an identity provider (OpenID Connect Core 1.0 section 3.1.3.7): who somebody is, signed."""

from typing import Any

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from keyfast.errors import TrustError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Public keys only: with a shared secret whoever reads our settings could sign."""
LEEWAY = 60
"""Seconds by which two clocks may differ."""


class Identity(msgspec.Struct, frozen=True):
    """Somebody, as the provider says.

    Attributes:
        subject: never given to somebody else there.
        claims: everything that was said.
        proved_at: when they last proved who they are (unix seconds), 0 if that is not said.
    """

    subject: str
    claims: dict[str, Any]
    proved_at: int


def read_keys(document: bytes) -> KeySet:
    """Read a provider's JWK set; keys that are not understood are left out.

    Raises:
        TrustError: it is none, or none of its keys is understood.
    """
    try:
        listed = msgspec.json.decode(document, type=dict[str, list[dict[str, Any]]]).get("keys", [])
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise TrustError("the identity provider's keys cannot be read") from cause
    good = [one for one in listed if one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig"]
    try:
        return KeySet.import_key_set({"keys": good})
    except (JoseError, ValueError, TypeError, KeyError) as cause:
        raise TrustError("the identity provider's keys cannot be read") from cause


def read_id_token(text: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str, now: int) -> Identity:
    """Verify an ID token.

    Raises:
        TrustError: it does not hold; the message says what does not, and nothing of what is in it.
    """
    try:
        token = jwt.decode(text, keys, algorithms=ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
        }
        claims = CodeIDToken(token.claims, token.header, options, {"nonce": nonce, "client_id": client_id})
        claims.validate(now, LEEWAY)
    except (JoseError, ValueError, TypeError, KeyError) as cause:
        raise TrustError(f"the identity provider's ID token does not hold: {type(cause).__name__}") from cause
    if not isinstance(claims["sub"], str) or not claims["sub"] or claims["iat"] > now + LEEWAY:
        raise TrustError("the identity provider's ID token does not hold: subject or time")
    return Identity(claims["sub"], dict(claims), int(claims.get("auth_time") or 0))
