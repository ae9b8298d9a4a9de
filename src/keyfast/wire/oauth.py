"""OAuth messages: registration requests (RFC 7591) and token answers (RFC 6749).

Unlike our own messages these tolerate unknown members: RFC 7591 section 2 asks servers to ignore
client metadata they do not understand, and stock clients send plenty.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from keyfast.wire import limits
from keyfast.wire.messages import Hardware

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 section 2.2."""


class PublicKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A P-256 public key as a JWK (RFC 7517, RFC 7518 section 6.2)."""

    kty: Annotated[str, Meta(max_length=8)]
    crv: Annotated[str, Meta(max_length=16)]
    x: Annotated[str, Meta(max_length=64)]
    y: Annotated[str, Meta(max_length=64)]
    use: Annotated[str, Meta(max_length=8)] = "sig"

    def jwk(self) -> dict[str, str]:
        """Return the members that identify the key."""
        return {"kty": self.kty, "crv": self.crv, "x": self.x, "y": self.y}


class Jwks(msgspec.Struct, frozen=True):
    """A JWK set of the two keys an endpoint registers."""

    keys: Annotated[tuple[PublicKey, ...], Meta(min_length=1, max_length=4)]


class RegisterRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """``POST /oauth/register``.

    Attributes:
        software_statement: the enrolment token (JWS).
        client_name: host name.
        jwks: one key with use ``sig`` (device key) and one with use ``enc`` (HPKE key).
        keyfast_hardware: facts about the hardware.
    """

    software_statement: limits.Statement
    client_name: limits.Name
    jwks: Jwks
    token_endpoint_auth_method: limits.Short = "private_key_jwt"  # noqa: S105 - a method name
    grant_types: Annotated[tuple[limits.Short, ...], Meta(max_length=8)] = ("client_credentials",)
    dpop_bound_access_tokens: bool = True
    keyfast_hardware: Hardware = Hardware()

    def key(self, use: str) -> dict[str, str] | None:
        """Return the key registered for ``use``, if there is exactly one."""
        found = [key.jwk() for key in self.jwks.keys if key.use == use]
        return found[0] if len(found) == 1 else None


class TokenAnswer(msgspec.Struct, frozen=True):
    """Successful answer of the token endpoint (RFC 6749 section 5.1, RFC 9449 section 5)."""

    access_token: str
    expires_in: int
    token_type: str = "DPoP"  # noqa: S105 - a type name


class Assertion(msgspec.Struct, frozen=True):
    """Claims of a client assertion (RFC 7523 section 3)."""

    iss: limits.Short
    sub: limits.Short
    aud: str | tuple[str, ...]
    exp: float
    jti: limits.Short
    iat: float = 0

    def audiences(self) -> tuple[str, ...]:
        """All audiences; RFC 7519 section 4.1.3 allows one or several."""
        return (self.aud,) if isinstance(self.aud, str) else self.aud
