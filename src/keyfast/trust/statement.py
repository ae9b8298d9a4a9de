"""Signed statements: a JWS (RFC 7515) with an explicit type (RFC 8725 section 3.11) and a key id."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from keyfast.errors import ForeignError, TrustError
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import decode_json, unb64u

T = TypeVar("T", bound=msgspec.Struct)

MAX_CHARS = 64 * 1024


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    typ: str
    alg: str
    kid: str


class _Of(msgspec.Struct, frozen=True):
    installation: str


class Label(NamedTuple):
    """What a statement says of itself, before anything is verified."""

    typ: str
    kid: str


def sign(key: DeviceKey, typ: str, payload: bytes) -> str:
    """Sign ``payload`` as a statement of type ``typ``; the key id is the thumbprint."""
    header = {"typ": typ, "alg": "ES256", "kid": key.thumbprint}
    return jws.serialize_compact(header, payload, key.jose, algorithms=["ES256"])


def label(statement: str) -> Label:
    """Read type and key id, unverified.

    Raises:
        TrustError: it is not a statement.
    """
    try:
        header = decode_json(unb64u(_parts(statement)[0]), _Header)
    except ValueError as cause:
        raise TrustError("it is not a signed statement") from cause
    return Label(header.typ, header.kid)


def unverified_payload(statement: str) -> bytes:
    """Return the payload, unverified: to find the key, or to say whose statement it is.

    Raises:
        TrustError: it is not a statement.
    """
    try:
        return unb64u(_parts(statement)[1])
    except ValueError as cause:
        raise TrustError("it is not a signed statement") from cause


def _parts(statement: str) -> list[str]:
    if len(statement) > MAX_CHARS:
        raise TrustError("the statement is too long")
    parts = statement.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515 section 7.1
        raise TrustError("it is not a signed statement")
    return parts


def verified_payload(statement: str, typ: str, key_of: Callable[[str], Mapping[str, str] | None]) -> bytes:
    """Verify a statement and return its payload.

    Args:
        statement: the JWS in compact form.
        typ: the type it must have.
        key_of: returns the public key (JWK) with a key id if it may sign this type, else None.

    Raises:
        TrustError: it is not a statement of this type signed by such a key.
    """
    said = label(statement)
    if said.typ != typ:
        raise TrustError(f"a statement of type '{typ}' was expected")
    jwk = key_of(said.kid)
    if jwk is None:
        raise TrustError(f"no known key may have signed this statement of type '{typ}'")
    try:
        return jws.deserialize_compact(statement, ECKey.import_key(dict(jwk)), algorithms=["ES256"]).payload
    except (JoseError, ValueError) as cause:
        raise TrustError("the statement's signature does not hold") from cause


def claims_of(payload: bytes, type_: type[T]) -> T:
    """Decode verified claims.

    Raises:
        TrustError: they are not what the type of statement says.
    """
    try:
        return decode_json(payload, type_)
    except ValueError as cause:
        raise TrustError("the statement's claims are not what its type says") from cause


def check_installation(payload: bytes, installation: str) -> None:
    """Refuse what another installation signed.

    Raises:
        ForeignError: it names another installation.
        TrustError: it names none.
    """
    named = claims_of(payload, _Of).installation
    if named != installation:
        raise ForeignError(f"it was issued by installation {named[:64]!r}, this is {installation!r}")


def verify(
    statement: str,
    typ: str,
    type_: type[T],
    installation: str,
    key_of: Callable[[str], Mapping[str, str] | None],
) -> T:
    """Verify a statement of this installation and return its claims.

    Raises:
        ForeignError: it says that it is another installation's, whoever signed it.
        TrustError: anything else about it does not hold.
    """
    # Another installation's keys are unknown here: what it says of itself only chooses the error.
    check_installation(unverified_payload(statement), installation)
    return claims_of(verified_payload(statement, typ, key_of), type_)
