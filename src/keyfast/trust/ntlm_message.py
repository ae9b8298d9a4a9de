"""The last message of an NTLM logon, read for what the server itself must know (MS-NLMP 2.2.1.3).

Whether the password is right only a domain controller can tell. The channel binding is inside what the
password signs (NTLMv2_CLIENT_CHALLENGE), so what is read here holds once the logon was granted.
"""

import hashlib
import struct

from keyfast.trust.negotiate import NTLMSSP

_TYPE = struct.Struct("<I")
_FIELD = struct.Struct("<HHI")
_PAIR = struct.Struct("<HH")
_NEGOTIATE, _AUTHENTICATE = 1, 3
_RESPONSE_AT, _DOMAIN_AT, _USER_AT, _FLAGS_AT = 20, 28, 36, 60
_UNICODE = 1
"""NTLMSSP_NEGOTIATE_UNICODE (MS-NLMP 2.2.2.5)."""
_MAX_NAME = 256
_V1_BYTES = 24
_PAIRS_AT = 16 + 28
"""NTProofStr and the fixed part of NTLMv2_CLIENT_CHALLENGE (MS-NLMP 2.2.2.7 and 2.2.2.8)."""
_END, _CHANNEL_BINDINGS = 0, 10
_MD5_BYTES = 16
# gss_channel_bindings_struct without addresses: two address types and lengths of zero (MS-NLMP 3.1.5.1.2).
_NO_ADDRESSES = bytes(16)


def is_negotiate(message: bytes) -> bool:
    """Tell whether it is the first message of a logon."""
    return _type_of(message) == _NEGOTIATE


def is_authenticate(message: bytes) -> bool:
    """Tell whether it is the last message of a logon and names somebody: an anonymous one has no response."""
    try:
        return bool(_response(message))
    except ValueError:
        return False


def channel_binding_of(type3: bytes) -> bytes | None:
    """Return the channel binding a client sent (MsvAvChannelBindings, 16 bytes), None if it sent none.

    Args:
        type3: an AUTHENTICATE_MESSAGE.

    Raises:
        ValueError: it is not one, or is damaged.
    """
    response = _response(type3)
    if len(response) <= _V1_BYTES:
        return None  # NTLMv1 has no place for one
    found = _pairs(response).get(_CHANNEL_BINDINGS)
    if found is None:
        return None
    if len(found) != _MD5_BYTES:
        raise ValueError("the channel binding is not an MD5 digest")
    return found if any(found) else None


def names_of(type3: bytes) -> tuple[str, str]:
    """Return the domain and the logon name that the client claims, in whatever form it sent them.

    Whoever is not allowed can be turned away by them before a password is tried. They are fit to be shown:
    printable, and at most 256 characters each; the domain may be empty.

    Args:
        type3: an AUTHENTICATE_MESSAGE.

    Raises:
        ValueError: it is not one, is damaged, or names nobody.
    """
    encoding = "utf-16-le" if _flags(type3) & _UNICODE else "latin-1"
    domain, name = (_field(type3, at).decode(encoding) for at in (_DOMAIN_AT, _USER_AT))
    if not name or max(len(domain), len(name)) > _MAX_NAME or not (domain + name).isprintable():
        raise ValueError("the names in the NTLM message are none")
    return domain, name


def expected_md5(application_data: bytes) -> bytes:
    """Return the channel binding a client must send (MS-NLMP 3.1.5.1.2; the structure is RFC 2744's).

    Args:
        application_data: from ``channel_binding.server_end_point``.
    """
    bindings = _NO_ADDRESSES + struct.pack("<I", len(application_data)) + application_data
    return hashlib.md5(bindings, usedforsecurity=False).digest()


def _type_of(message: bytes) -> int:
    if not message.startswith(NTLMSSP) or len(message) < len(NTLMSSP) + _TYPE.size:
        return 0
    return int(_TYPE.unpack_from(message, len(NTLMSSP))[0])


def _flags(message: bytes) -> int:
    if len(message) < _FLAGS_AT + _TYPE.size:
        raise ValueError("the NTLM message ends early")
    return int(_TYPE.unpack_from(message, _FLAGS_AT)[0])


def _response(message: bytes) -> bytes:
    """Return NtChallengeResponse."""
    return _field(message, _RESPONSE_AT)


def _field(message: bytes, at: int) -> bytes:
    """Return what the field at an offset points to (MS-NLMP 2.2.1.3: length, room, offset)."""
    if _type_of(message) != _AUTHENTICATE or len(message) < at + _FIELD.size:
        raise ValueError("not the last message of an NTLM logon")
    length, _, start = _FIELD.unpack_from(message, at)
    value = message[start : start + length]
    if len(value) != length:
        raise ValueError("the NTLM message ends early")
    return value


def _pairs(response: bytes) -> dict[int, bytes]:
    """Read the AV_PAIRs of an NTLMv2 response (MS-NLMP 2.2.2.1); the first of an id counts."""
    found: dict[int, bytes] = {}
    at = _PAIRS_AT
    while at + _PAIR.size <= len(response):
        kind, length = _PAIR.unpack_from(response, at)
        at += _PAIR.size
        if kind == _END:
            return found
        found.setdefault(kind, response[at : at + length])
        at += length
    raise ValueError("the attributes of the NTLM response have no end")
