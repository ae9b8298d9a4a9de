"""Text forms of bytes, and digests. Every value has exactly one text form, so text can be compared."""

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from keyfast.errors import TrustError

T = TypeVar("T")

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
"""What base64url does not have becomes what no base64 has."""
_PADDING = (b"", b"", b"==", b"=")
_ENDINGS = (_DIGITS, "", _DIGITS[::16], _DIGITS[::4])
"""Last characters whose unused bits are zero, by the number of characters over a multiple of four."""


def b64u(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    return b2a_base64(raw, newline=False).translate(_TO_URL, b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        ValueError: ``text`` is not the one canonical encoding of some bytes.
    """
    left = len(text) % 4
    raw = a2b_base64(text.encode("ascii").translate(_FROM_URL) + _PADDING[left], strict_mode=True)
    if text[-1:] not in _ENDINGS[left]:
        raise ValueError("not canonical base64url")
    return raw


def sha256(raw: bytes) -> bytes:
    """Return the SHA-256 digest, 32 bytes."""
    return hashlib.sha256(raw).digest()


def digest_text(raw: bytes) -> str:
    """Return the SHA-256 digest as base64url text, 43 characters."""
    return b64u(sha256(raw))


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the thumbprint of an EC key (RFC 7638 section 3), 43 characters.

    Raises:
        TrustError: ``jwk`` is not an EC key.
    """
    try:
        # RFC 7638 section 3.3: the required members only, in this order, without white space.
        required = {"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]}
    except KeyError as cause:
        raise TrustError(f"the key has no member {cause}") from cause
    return digest_text(msgspec.json.encode(required))


def framed(*parts: str) -> bytes:
    """Encode parts so that no two lists of parts give the same bytes; what a seal is bound to."""
    return msgspec.json.encode(parts)


def decode_json(raw: bytes | str, type_: type[T]) -> T:
    """Decode JSON that came from anywhere.

    Raises:
        ValueError: it is not JSON of this type.
    """
    try:
        return msgspec.json.decode(raw, type=type_)
    except (msgspec.DecodeError, RecursionError) as cause:  # the latter for a thousand brackets in a row
        raise ValueError(str(cause)) from cause
