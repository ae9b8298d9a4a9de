"""LDAP messages (RFC 4511) as far as reading accounts and trying passwords needs them, encoded by pyasn1.

Filters are made of values, not of text: there is nothing to escape, and a name cannot widen a search. pyasn1 is
imported when the first message is made: a server without an Active Directory does without it.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import msgspec

from keyfast.errors import MissingToolError

_START_TLS = b"1.3.6.1.4.1.1466.20037"
_VERSION = 3
_REPLACE = 2


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
    INSUFFICIENT_ACCESS = 50


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


class Library(NamedTuple):
    """What is used of pyasn1; it has no types."""

    encode: Any
    decoder: Any
    underrun: Any
    grammar: Any


@cache
def load() -> Library:
    """Return the library.

    Raises:
        MissingToolError: it is not installed.
    """
    try:
        from pyasn1.codec.ber.decoder import StreamingDecoder  # noqa: PLC0415 - an optional extra, 0.1 s to import
        from pyasn1.codec.ber.encoder import encode  # noqa: PLC0415
        from pyasn1.error import SubstrateUnderrunError  # noqa: PLC0415
        from pyasn1_modules import rfc2251  # noqa: PLC0415
    except ImportError as cause:
        raise MissingToolError(
            "Active Directory needs the Python packages pyasn1 and pyasn1-modules",
            repair="pip install 'keyfast[directory]'",
        ) from cause
    return Library(encode, StreamingDecoder, SubstrateUnderrunError, rfc2251)


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
    asked["attributes"].clear()
    asked["attributes"].extend(map(_octets, attributes))
    return _encoded(message)


def replace_value(number: int, dn: str, attribute: str, value: bytes) -> bytes:
    """Replace an attribute's values by one (section 4.6)."""
    message, asked = _request(number, "modifyRequest")
    asked["object"] = _octets(dn)
    change = asked["modification"][0]
    change["operation"] = _REPLACE
    change["modification"]["type"] = _octets(attribute)
    change["modification"]["vals"][0] = value
    return _encoded(message)


def start_tls(number: int) -> bytes:
    """Ask for TLS (section 4.14)."""
    message, asked = _request(number, "extendedReq")
    asked["requestName"] = _START_TLS
    return _encoded(message)


class Inbox:
    """Messages out of a server's stream of bytes, however it is cut; no byte is decoded twice."""

    def __init__(self) -> None:
        self._begin(b"")

    @property
    def size(self) -> int:
        """Bytes held: of the message that is not whole yet, and of those behind a whole one."""
        return self._stream.getbuffer().nbytes

    def feed(self, data: bytes) -> None:
        """Add what came."""
        at = self._stream.tell()
        self._stream.seek(0, io.SEEK_END)
        self._stream.write(data)
        self._stream.seek(at)

    def take(self) -> tuple[int, Answer] | None:
        """Take the next message.

        Returns:
            Its number (0: a notice that the server ends the connection) and what it says; None while it is not
            whole.

        Raises:
            ValueError: it is malformed; so is all that comes behind it.
        """
        try:
            message = next(self._steps)
            if isinstance(message, load().underrun):
                return None
            taken = int(message["messageID"]), _answer(message["protocolOp"])
        except Exception as cause:
            # The library throws what its parts happen to throw.
            raise ValueError("not an LDAP message") from cause
        self._begin(self._stream.read() or b"")
        return taken

    def _begin(self, data: bytes) -> None:
        self._stream = _Stream(data)
        self._steps: Iterator[Any] = iter(load().decoder(self._stream, asn1Spec=load().grammar.LDAPMessage()))


class _Stream(io.BytesIO):
    """What came so far; behind it is nothing yet, which a raw stream tells by None, and not the end."""

    def read(self, size: int | None = -1, /) -> Any:
        return super().read(size) or (None if size else b"")


def _answer(operation: Any) -> Answer:
    kind, body = operation.getName(), operation.getComponent()
    if kind in ("bindResponse", "searchResDone", "extendedResp", "modifyResponse"):
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
    message = load().grammar.LDAPMessage()
    message["messageID"] = number
    return message, message["protocolOp"][operation]


def _encoded(message: Any) -> bytes:
    encoded: bytes = load().encode(message)
    return encoded


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
