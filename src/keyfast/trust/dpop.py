"""Proofs of possession (RFC 9449), with the nonce from the server and a digest of the body.

Verified on every check-in, so this is the one JWS that is not read by joserfc: that would take about twice
the time. Proofs are made by joserfc, and the two implementations test each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from joserfc import jws
from msgspec import UNSET, Meta, UnsetType

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import TrustError
from keyfast.trust import p256
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import decode_json, digest_text, thumbprint, unb64u
from keyfast.wire import limits

TYP = "dpop+jwt"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HEADERS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature holds for the request it came with.

    Attributes:
        thumbprint: RFC 7638 thumbprint of the key that made it.
        nonce: the server's nonce in it, not judged here; empty if none.
        jti: its unique id.
        issued_at: unix seconds by the endpoint's clock, which is never trusted.
        public_jwk: the key that made it.
    """

    thumbprint: str
    nonce: str
    jti: str
    issued_at: int
    public_jwk: dict[str, str]


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    crv: str
    x: str
    y: str
    d: msgspec.Raw | UnsetType = UNSET


class _Header(msgspec.Struct, frozen=True):
    typ: str
    alg: str
    jwk: _Jwk
    crit: msgspec.Raw | UnsetType = UNSET


class _Claims(msgspec.Struct, frozen=True):
    jti: Annotated[str, Meta(min_length=1, max_length=128)]
    htm: str
    htu: str
    iat: Annotated[float, Meta(ge=-limits.TIME_MAX, le=limits.TIME_MAX)]
    nonce: str = ""
    ath: str = ""
    body_sha256: str = ""


def make_proof(
    key: DeviceKey,
    *,
    method: str,
    url: str,
    jti: str,
    issued_at: int,
    nonce: str = "",
    access_token: str = "",
    body: bytes | None = None,
) -> str:
    """Make the ``DPoP`` header of one request (RFC 9449 section 4.2).

    Args:
        key: the device key.
        method: HTTP method.
        url: URL of the request; query and fragment are left out.
        jti: a fresh unique id.
        issued_at: unix seconds, server time as far as it is known.
        nonce: the server's last ``DPoP-Nonce``.
        access_token: the token that travels with the request.
        body: the body to be covered, or None for a request without one.
    """
    claims: dict[str, Any] = {"jti": jti, "htm": method, "htu": _bare(url), "iat": issued_at}
    if nonce:
        claims["nonce"] = nonce
    if access_token:
        claims["ath"] = digest_text(access_token.encode("ascii"))
    if body is not None:
        claims["body_sha256"] = digest_text(body)
    header = {"typ": TYP, "alg": "ES256", "jwk": key.public_jwk()}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key.jose, algorithms=["ES256"])


def verify_proof(
    proof: str,
    *,
    method: str,
    path: str,
    origins: frozenset[str],
    access_token: str = "",
    body: bytes | None = None,
) -> Proof | Refusal:
    """Verify a proof against the request it came with (RFC 9449 section 4.3).

    The proof's own time is not judged: the server's nonce in it is what makes it fresh.

    Args:
        proof: the ``DPoP`` header.
        method: HTTP method of the request.
        path: path of the request.
        origins: scheme and authority of every URL that leads here.
        access_token: the token the proof must be bound to; empty for a request without one.
        body: the body the proof must cover; None asks for no coverage.

    Returns:
        The proof, or a refusal of class ``unauthenticated`` that says which part does not hold.
    """
    try:
        return _verified(proof, _Expected(method, path or "/", origins, access_token, body))
    except (_UnprovenError, TrustError) as cause:
        return Refusal(
            RefusalClass.UNAUTHENTICATED,
            str(cause),
            presented="a DPoP proof" if proof else "no DPoP proof",
            expected="a DPoP proof (ES256) made for this request with the device key",
        )


class _UnprovenError(Exception):
    """A part of the proof does not hold; the message says which. Never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Expected:
    method: str
    path: str
    origins: frozenset[str]
    access_token: str
    body: bytes | None


def _verified(proof: str, expected: _Expected) -> Proof:
    """Cheap checks first, the signature last."""
    if len(proof) > limits.MAX_PROOF_CHARS:
        raise _UnprovenError("the proof is too long")
    signed, _, signature_text = proof.rpartition(".")
    header_text, _, claims_text = signed.partition(".")
    try:
        claims = decode_json(unb64u(claims_text), _Claims)
        signature = unb64u(signature_text)
        signer = _signer(header_text)
    except ValueError as cause:
        raise _UnprovenError("the proof cannot be read") from cause
    _check_claims(claims, expected)
    if not p256.holds(signer.key, signature, signed.encode("ascii")):
        raise _UnprovenError("the proof's signature does not hold")
    return Proof(signer.thumbprint, claims.nonce, claims.jti, int(claims.iat), dict(signer.jwk))


def _check_claims(claims: _Claims, expected: _Expected) -> None:
    if claims.htm != expected.method:
        raise _UnprovenError("the proof was made for another method")
    if not _leads_here(claims.htu, expected.path, expected.origins):
        raise _UnprovenError("the proof was made for another URL")
    if expected.access_token and claims.ath != _digest_of_text(expected.access_token):
        raise _UnprovenError("the proof is not bound to this access token")
    if expected.body is not None and claims.body_sha256 != digest_text(expected.body):
        raise _UnprovenError("the proof does not cover this body")


def _digest_of_text(text: str) -> str:
    return digest_text(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class _Signer:
    key: EllipticCurvePublicKey
    jwk: dict[str, str]
    thumbprint: str


@lru_cache(_HEADERS_KEPT)
def _signer(header_text: str) -> _Signer:
    """Read a header; the header of a key never changes, so the latest are kept."""
    header = decode_json(unb64u(header_text), _Header)
    if header.typ != TYP or header.alg != "ES256" or header.crit is not UNSET:
        raise _UnprovenError("the proof's header is not that of an ES256 DPoP proof")
    if header.jwk.d is not UNSET:
        raise _UnprovenError("the proof carries a private key")
    if header.jwk.kty != "EC" or header.jwk.crv != "P-256":
        raise _UnprovenError("the proof's key is not a P-256 key")
    jwk = {"kty": header.jwk.kty, "crv": header.jwk.crv, "x": header.jwk.x, "y": header.jwk.y}
    return _Signer(p256.load_point(header.jwk.x, header.jwk.y), jwk, thumbprint(jwk))


def _bare(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def _leads_here(htu: str, path: str, origins: frozenset[str]) -> bool:
    """Compare URLs without query and fragment (RFC 9449 section 4.3, RFC 3986 sections 6.2.2, 6.2.3)."""
    url = _bare(htu)
    if url.endswith(path) and url[: -len(path)] in origins:
        return True
    try:
        origin, own_path = _normal(url)
        return own_path == path and origin in _all_normal(origins)
    except ValueError:
        return False


def _normal(url: str) -> tuple[str, str]:
    """Split a URL into its normalised origin and its path.

    Raises:
        ValueError: it is not a URL of this protocol.
    """
    if not url.isascii() or not url.isprintable() or " " in url:  # urlsplit would clean these away
        raise ValueError("not a URL")
    parts = urlsplit(url)
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a URL of this protocol")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}", parts.path or "/"


@lru_cache(8)
def _all_normal(origins: Iterable[str]) -> frozenset[str]:
    return frozenset(_normal(origin)[0] for origin in origins)
