"""LDAP messages (RFC 4511) as far as reading accounts and trying passwords needs them.

Filters are made of values, not of text: there is nothing to escape, and a name cannot widen a search.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import msgspec

from keyfast.directory import ber
from keyfast.directory.ber import tlv

_BIND, _BIND_ANSWER, _UNBIND = 0x60, 0x61, 0x42
_SEARCH, _ENTRY, _DONE, _REFERENCE = 0x63, 0x64, 0x65, 0x73
_EXTENDED, _EXTENDED_ANSWER = 0x77, 0x78
_SIMPLE, _SASL, _SASL_ANSWER = 0x80, 0xA3, 0x87
_AND, _EQUALS, _PRESENT = 0xA0, 0xA3, 0x87
_EXTENDED_NAME = 0x80
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_VERSION = 3
_RESULT_PARTS = 3


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


def simple_bind(message: int, name: str, password: bytes) -> bytes:
    """Bind with a name and a password (section 4.2)."""
    return _message(message, tlv(_BIND, _version(), _text(name), tlv(_SIMPLE, password)))


def sasl_bind(message: int, mechanism: str, credentials: bytes) -> bytes:
    """One step of a SASL bind (section 4.2)."""
    choice = tlv(_SASL, _text(mechanism), tlv(ber.OCTETS, credentials))
    return _message(message, tlv(_BIND, _version(), _text(""), choice))


def search(message: int, base: str, scope: Scope, filter_: bytes, attributes: Sequence[str], limit: int) -> bytes:
    """Search (section 4.5.1), aliases never followed, at most ``limit`` entries."""
    return _message(
        message,
        tlv(
            _SEARCH,
            _text(base),
            ber.integer(scope, ber.ENUMERATED),
            ber.integer(0, ber.ENUMERATED),
            ber.integer(limit),
            ber.integer(0),
            ber.boolean(value=False),
            filter_,
            tlv(ber.SEQUENCE, *map(_text, attributes)),
        ),
    )


def start_tls(message: int) -> bytes:
    """Ask for TLS (section 4.14)."""
    return _message(message, tlv(_EXTENDED, tlv(_EXTENDED_NAME, _START_TLS)))


def unbind(message: int) -> bytes:
    """Say goodbye (section 4.3)."""
    return _message(message, tlv(_UNBIND))


def equals(attribute: str, value: str) -> bytes:
    """Filter: one value of the attribute equals ``value``."""
    return tlv(_EQUALS, _text(attribute), _text(value))


def present(attribute: str) -> bytes:
    """Filter: the attribute is there."""
    return tlv(_PRESENT, attribute.encode())


def both(*filters: bytes) -> bytes:
    """Filter: all of them hold."""
    return tlv(_AND, *filters)


def parse(data: bytes) -> tuple[int, Answer]:
    """Read one whole message of a server.

    Returns:
        The message number (0: a notice that the server ends the connection) and what it says.

    Raises:
        ValueError: it is malformed.
    """
    ((tag, content),) = ber.elements(data)
    if tag != ber.SEQUENCE:
        raise ValueError("not an LDAP message")
    number, (kind, body), *_controls = ber.elements(content)
    return ber.number(number), _answer(kind, body)


def _answer(kind: int, body: bytes) -> Answer:
    if kind in (_BIND_ANSWER, _DONE, _EXTENDED_ANSWER):
        return _result(tuple(ber.elements(body)), sasl=kind == _BIND_ANSWER)
    if kind == _ENTRY:
        (_, dn), (_, attributes) = ber.elements(body)
        return Entry(dn.decode("utf-8", "replace"), dict(_values(attributes)))
    if kind == _REFERENCE:
        return None
    raise ValueError("an LDAP message that was not asked for")


def _result(parts: tuple[ber.Element, ...], *, sasl: bool) -> Result:
    if len(parts) < _RESULT_PARTS:
        raise ValueError("an LDAP result is cut short")
    credentials = next((value for tag, value in parts[_RESULT_PARTS:] if sasl and tag == _SASL_ANSWER), b"")
    return Result(ber.number(parts[0]), parts[2][1].decode("utf-8", "replace"), credentials)


def _values(attributes: bytes) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    for _, attribute in ber.elements(attributes):
        (_, name), (_, values) = ber.elements(attribute)
        yield name.decode("ascii", "replace").lower(), tuple(value for _, value in ber.elements(values))


def _message(number: int, operation: bytes) -> bytes:
    return tlv(ber.SEQUENCE, ber.integer(number), operation)


def _version() -> bytes:
    return ber.integer(_VERSION)


def _text(text: str) -> bytes:
    return tlv(ber.OCTETS, text.encode("utf-8", "surrogatepass"))
