"""The server's half of LDAP, for tests: messages that a domain controller sends."""

from pyasn1.codec.ber import decoder, encoder
from pyasn1_modules import rfc2251

BIND, DONE, EXTENDED = "bindResponse", "searchResDone", "extendedResp"


def tlv(tag: int, *contents: bytes) -> bytes:
    """One BER element, well-formed or not a message at all."""
    value = b"".join(contents)
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def answer(number: int, kind: str, code: int, text: bytes = b"") -> bytes:
    """The end of an operation."""
    message = rfc2251.LDAPMessage()
    message["messageID"] = number
    end = message["protocolOp"][kind]
    end["resultCode"], end["matchedDN"], end["errorMessage"] = code, b"", text
    return encoder.encode(message)


def found(number: int, dn: bytes, **values: bytes) -> bytes:
    """An entry (attribute names with _ for -) and the end of the search."""
    message = rfc2251.LDAPMessage()
    message["messageID"] = number
    entry = message["protocolOp"]["searchResEntry"]
    entry["objectName"] = dn
    entry["attributes"].clear()
    for place, (name, value) in enumerate(values.items()):
        entry["attributes"][place]["type"] = name.replace("_", "-").encode()
        entry["attributes"][place]["vals"][0] = value
    return encoder.encode(message) + answer(number, DONE, 0)


def read(data: bytes) -> rfc2251.LDAPMessage:
    """A message of a client."""
    message, _ = decoder.decode(data, asn1Spec=rfc2251.LDAPMessage())
    return message
