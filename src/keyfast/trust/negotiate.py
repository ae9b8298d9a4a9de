"""What a token of HTTP authentication is, before anybody is asked about it (RFC 4559, RFC 4178, MS-NLMP).

Kerberos and NTLM have different verifiers, so the two must be told apart by looking. The walk reads DER
only as far as that needs; whoever verifies the token parses it whole.
"""

from base64 import b64decode
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

MAX_TOKEN = 48 * 1024
"""Bytes of the largest token: a Kerberos ticket of a user in very many groups (MaxTokenSize, MS-KILE 3.3.5.6.4)."""
NTLMSSP = b"NTLMSSP\x00"

_APPLICATION, _SEQUENCE, _OID, _OCTETS = 0x60, 0x30, 0x06, 0x04
_INIT, _RESPONSE = 0xA0, 0xA1
_MECH_TYPES, _TOKEN = 0xA0, 0xA2
"""Of NegTokenInit; NegTokenResp keeps its token under the same tag (RFC 4178 section 4.2)."""
_SPNEGO_OID = bytes.fromhex("2b0601050502")
_NTLM_OID = bytes.fromhex("2b06010401823702020a")
# RFC 4121 section 4.1; the second is the same with a digit that Windows 2000 got wrong (MS-SPNG appendix).
_KERBEROS_OIDS = frozenset(map(bytes.fromhex, ("2a864886f712010202", "2a864882f712010202")))


class TokenKind(StrEnum):
    """Who can say more about a token."""

    KERBEROS = "kerberos"
    NTLM = "ntlm"
    SPNEGO_NTLM = "spnego_ntlm"
    SPNEGO_MORE = "spnego_more"
    UNKNOWN = "unknown"


class _Element(NamedTuple):
    tag: int
    value: bytes
    size: int  # with tag and length


def decode(text: str) -> bytes | None:
    """Decode the token of an ``Authorization`` header (base64, RFC 4559 section 4.2); None if it is not one."""
    if not text or len(text) > MAX_TOKEN * 4 // 3 + 4:
        return None
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None


def classify(token: bytes) -> TokenKind:
    """Tell what a client's token is. Never raises; what cannot be read is ``UNKNOWN``.

    Returns:
        ``NTLM`` for a bare NTLM message, ``SPNEGO_NTLM`` for the first token of a negotiation that can only
        end in NTLM, ``SPNEGO_MORE`` for any later token of a negotiation.
    """
    if token.startswith(NTLMSSP):
        return TokenKind.NTLM
    try:
        return _classify(token)
    except ValueError:
        return TokenKind.UNKNOWN


def ntlm_message(token: bytes) -> bytes | None:
    """Return the NTLM message of a token, bare or inside a negotiation; None when there is none."""
    if token.startswith(NTLMSSP):
        return token
    try:
        message = _expect(_negotiation(token).get(_TOKEN, b""), _OCTETS)
    except ValueError:
        return None
    return message if message.startswith(NTLMSSP) else None


def kerberos_message(token: bytes) -> bytes | None:
    """Return the Kerberos token (RFC 4121 section 4.1), bare or first of a negotiation; None when there is none."""
    try:
        if _is_kerberos(token):
            return token
        inner = _expect(_negotiation(token).get(_TOKEN, b""), _OCTETS)
        return inner if _is_kerberos(inner) else None
    except ValueError:
        return None


def _is_kerberos(token: bytes) -> bool:
    outer = _read(token)
    if outer.tag != _APPLICATION:
        return False
    mechanism = _read(outer.value)
    return mechanism.tag == _OID and mechanism.value in _KERBEROS_OIDS


def _classify(token: bytes) -> TokenKind:
    if _read(token).tag == _RESPONSE:
        return TokenKind.SPNEGO_MORE
    if _is_kerberos(token):
        return TokenKind.KERBEROS
    fields = _negotiation(token)
    if _TOKEN in fields and _expect(fields[_TOKEN], _OCTETS).startswith(NTLMSSP):
        return TokenKind.SPNEGO_NTLM
    offered = [each.value for each in _elements(_expect(fields.get(_MECH_TYPES, b""), _SEQUENCE))]
    # Kerberos wins wherever it stands: NTLM is never what a client that can do Kerberos is made to use.
    if any(oid in _KERBEROS_OIDS for oid in offered):
        return TokenKind.KERBEROS
    return TokenKind.SPNEGO_NTLM if _NTLM_OID in offered else TokenKind.UNKNOWN


def _negotiation(token: bytes) -> dict[int, bytes]:
    """Return the fields of a NegTokenInit or NegTokenResp by their tags."""
    outer = _read(token)
    if outer.tag == _APPLICATION:
        mechanism, *inner = _elements(outer.value)
        if mechanism[:2] != (_OID, _SPNEGO_OID) or len(inner) != 1 or inner[0].tag != _INIT:
            raise ValueError("not the start of a negotiation")
        outer = inner[0]
    elif outer.tag != _RESPONSE:
        raise ValueError("not a negotiation")
    return {field.tag: field.value for field in _elements(_expect(outer.value, _SEQUENCE))}


def _elements(data: bytes) -> Iterator[_Element]:
    while data:
        element = _read(data)
        yield element
        data = data[element.size :]


def _expect(data: bytes, tag: int) -> bytes:
    found = _read(data)
    if found.tag != tag:
        raise ValueError("another element was expected")
    return found.value


def _read(data: bytes) -> _Element:
    """Read the element at the start (X.690 section 8.1; definite lengths of at most four bytes)."""
    start, length = _header(data)
    value = data[start : start + length]
    if len(value) != length:
        raise ValueError("an element is longer than what holds it")
    return _Element(data[0], value, start + length)


def _header(data: bytes) -> tuple[int, int]:
    """Return where the value starts and how long it is."""
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        raise ValueError("an element ends early")
    length = data[1]
    if length < 0x80:  # noqa: PLR2004 - the short form
        return 2, length
    width = length & 0x7F
    if not 1 <= width <= 4 or len(data) < 2 + width:  # noqa: PLR2004 - four bytes hold more than any token
        raise ValueError("a length cannot be read")
    return 2 + width, int.from_bytes(data[2 : 2 + width], "big")
