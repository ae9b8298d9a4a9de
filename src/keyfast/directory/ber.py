"""The part of BER that LDAP uses (X.690; RFC 4511 section 5.1): definite lengths, tags of one byte."""

from collections.abc import Iterator

INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET, BOOLEAN = 0x02, 0x04, 0x0A, 0x30, 0x31, 0x01
_LONG = 0x80
_MAX_LENGTH_BYTES = 4
_MANY_BYTES_TAG = 0x1F

Element = tuple[int, bytes]


def tlv(tag: int, *contents: bytes) -> bytes:
    """Encode one element with the given contents, joined."""
    value = b"".join(contents)
    size = len(value)
    if size < _LONG:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + value


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode a number that is not negative (also ENUMERATED, by its tag)."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(*, value: bool) -> bytes:
    """Encode a truth value (RFC 4511 section 5.1: true is 0xFF)."""
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def header(data: bytes) -> tuple[int, int] | None:
    """Read the header of the element at the start of ``data``.

    Returns:
        Bytes of the header and of the contents; None while the header is not complete.

    Raises:
        ValueError: it is not a header that LDAP allows.
    """
    if data and data[0] & _MANY_BYTES_TAG == _MANY_BYTES_TAG:
        raise ValueError("a tag of more than one byte")
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        return None
    if data[1] < _LONG:
        return 2, data[1]
    count = data[1] - _LONG
    if not 0 < count <= _MAX_LENGTH_BYTES:
        raise ValueError("a length that is indefinite or too long")
    if len(data) < 2 + count:
        return None
    return 2 + count, int.from_bytes(data[2 : 2 + count], "big")


def elements(data: bytes) -> Iterator[Element]:
    """Go through the elements ``data`` consists of, as tag and contents.

    Raises:
        ValueError: it is cut short or malformed.
    """
    at = 0
    while at < len(data):
        found = header(data[at : at + 2 + _MAX_LENGTH_BYTES])
        if found is None:
            raise ValueError("an element without a length")
        start = at + found[0]
        end = start + found[1]
        if end > len(data):
            raise ValueError("an element is cut short")
        yield data[at], data[start:end]
        at = end


def number(element: Element) -> int:
    """Read an INTEGER or ENUMERATED of at most eight bytes.

    Raises:
        ValueError: it is something else.
    """
    tag, value = element
    if tag not in (INTEGER, ENUMERATED) or not 0 < len(value) <= 8:  # noqa: PLR2004 - bytes
        raise ValueError("not a number")
    return int.from_bytes(value, "big", signed=True)
