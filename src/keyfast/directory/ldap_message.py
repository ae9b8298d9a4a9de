"""LDAP messages (RFC 4511) as far as reading accounts and trying passwords needs them, encoded by pyasn1.

Filters are made of values, not of text: there is nothing to escape, and a name cannot widen a search.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec
from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error, SubstrateUnderrunError
from pyasn1_modules import rfc2251

_START_TLS = b"1.3.6.1.4.1.1466.20037"
_VERSION = 3
_BAD = (PyAsn1Error, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What the decoder throws at damaged messages."""


class Scope(IntEnum):
    """How far a search goes (RFC 4511 section 4.5.1.2)."""

    BASE = 0
    SUBTREE = 2


class Code(IntEnum):
    """Result codes (RFC 4511 appendix A) that are told apart."""

    SUCCESS = 0
    SASL_BIND_IN_PROGRESS = 14
    NO_SUCH_OBJECT = 32
    INVALID_CREDENTIALS = 49


class Equals(msgspec.Struct, frozen=True):
    """Filter: one value of the attribute equals ``value``."""

    attribute: str
    value: str


class Present(msgspec.Struct, frozen=True):
    """Filter: the attribute is there."""

    attribute: str


class Both(msgspec.Struct, frozen=True):
    """Filter: all of them hold."""

    filters: tuple[Equals | Present, ...]


Filter = Equals | Present | Both


class Result(msgspec.Struct, frozen=True):
    """How an operation ended.

    Attributes:
        code: result code.
        text: diagnostic message of the server.
        sasl: credentials of the server, in the answer to a SASL bind.
    """

    code: int
    text: str = ""
    sasl: bytes = b""


class Entry(msgspec.Struct, frozen=True):
    """One entry found.

    Attributes:
        dn: distinguished name.
        values: values by attribute name in lower case.
    """

    dn: str
    values: Mapping[str, Sequence[bytes]]


Answer = Result | Entry | None
"""The end of an operation, an entry on the way, or something to be passed over (a reference)."""


def simple_bind(number: int, name: str, password: bytes) -> bytes:
    """Bind with a name and a password (section 4.2)."""
    message, bind = _request(number, "bindRequest")
    bind["version"], bind["name"] = _VERSION, _octets(name)
    bind["authentication"]["simple"] = password
    return _encoded(message)


def sasl_bind(number: int, mechanism: str, credentials: bytes) -> bytes:
    """One step of a SASL bind (section 4.2)."""
    message, bind = _request(number, "bindRequest")
    bind["version"], bind["name"] = _VERSION, b""
    bind["authentication"]["sasl"]["mechanism"] = _octets(mechanism)
    bind["authentication"]["sasl"]["credentials"] = credentials
    return _encoded(message)


def search(number: int, base: str, scope: Scope, filter_: Filter, attributes: Sequence[str], limit: int) -> bytes:
    """Search (section 4.5.1), aliases never followed, at most ``limit`` entries."""
    message, asked = _request(number, "searchRequest")
    asked["baseObject"], asked["scope"], asked["derefAliases"] = _octets(base), int(scope), 0
    asked["sizeLimit"], asked["timeLimit"], asked["typesOnly"] = limit, 0, 0
    _fill(asked["filter"], filter_)
    asked["attributes"].extend(map(_octets, attributes)) if attributes else asked["attributes"].clear()
    return _encoded(message)


def start_tls(number: int) -> bytes:
    """Ask for TLS (section 4.14)."""
    message, asked = _request(number, "extendedReq")
    asked["requestName"] = _START_TLS
    return _encoded(message)


def split(data: bytes) -> tuple[int, Answer, bytes] | None:
    """Read the first message of a server out of what came so far.

    Returns:
        The message's number (0: a notice that the server ends the connection), what it says, and the bytes
        behind it; None while the message is not whole.

    Raises:
        ValueError: it is malformed.
    """
    if not data:
        return None
    try:
        message, rest = decoder.decode(data, asn1Spec=rfc2251.LDAPMessage())
        return int(message["messageID"]), _answer(message["protocolOp"]), bytes(rest)
    except SubstrateUnderrunError:
        return None
    except _BAD as cause:
        raise ValueError("not an LDAP message") from cause


def _answer(operation: Any) -> Answer:
    kind, body = operation.getName(), operation.getComponent()
    if kind in ("bindResponse", "searchResDone", "extendedResp"):
        sasl = body["serverSaslCreds"] if kind == "bindResponse" else None
        credentials = bytes(sasl) if sasl is not None and sasl.hasValue() else b""
        return Result(int(body["resultCode"]), bytes(body["errorMessage"]).decode("utf-8", "replace"), credentials)
    if kind == "searchResEntry":
        values = {
            bytes(attribute["type"]).decode("ascii", "replace").lower(): tuple(map(bytes, attribute["vals"]))
            for attribute in body["attributes"]
        }
        return Entry(bytes(body["objectName"]).decode("utf-8", "replace"), values)
    if kind == "searchResRef":
        return None
    raise ValueError("an LDAP message that was not asked for")


def _fill(where: Any, filter_: Filter) -> None:
    if isinstance(filter_, Both):
        for place, inner in enumerate(filter_.filters):
            _fill(where["and"][place], inner)
    elif isinstance(filter_, Equals):
        where["equalityMatch"]["attributeDesc"] = _octets(filter_.attribute)
        where["equalityMatch"]["assertionValue"] = _octets(filter_.value)
    else:
        where["present"] = _octets(filter_.attribute)


def _request(number: int, operation: str) -> tuple[Any, Any]:
    message = rfc2251.LDAPMessage()
    message["messageID"] = number
    return message, message["protocolOp"][operation]


def _encoded(message: Any) -> bytes:
    encoded: bytes = encoder.encode(message)
    return encoded


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
