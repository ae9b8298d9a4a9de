"""Tokens are told apart by looking, in every wrapping that clients use."""

from base64 import b64encode

import pytest

from keyfast.trust.negotiate import MAX_TOKEN, TokenKind, classify, decode, kerberos_message, ntlm_message

SPNEGO = "06062b0601050502"
KERBEROS, MS_KERBEROS = "06092a864886f712010202", "06092a864882f712010202"
USER_TO_USER, NTLM, NEGOEX = "060a2a864886f71201020203", "060a2b06010401823702020a", "060a2b06010401823702021e"
TYPE1 = b"NTLMSSP\0\1\0\0\0" + bytes(20)


def der(tag, *parts):
    body = b"".join(bytes.fromhex(part) if isinstance(part, str) else part for part in parts)
    width = (len(body).bit_length() + 7) // 8
    length = bytes([len(body)]) if len(body) < 128 else bytes([128 | width]) + len(body).to_bytes(width, "big")
    return bytes([tag]) + length + body


AP_REQ = der(0x60, KERBEROS, "0100", bytes(1500))


def init(mechanisms, token=None, extra=b""):
    fields = [der(0xA0, der(0x30, *mechanisms)), extra]
    if token is not None:
        fields.append(der(0xA2, der(0x04, token)))
    return der(0x60, SPNEGO, der(0xA0, der(0x30, *fields)))


def response(token=None):
    fields = [der(0xA0, "0a0101")]
    if token is not None:
        fields.append(der(0xA2, der(0x04, token)))
    return der(0xA1, der(0x30, *fields))


FLAGS = der(0xA1, "03020106")
TABLE = [
    (TYPE1, TokenKind.NTLM),
    (AP_REQ, TokenKind.KERBEROS),
    (der(0x60, MS_KERBEROS, "0100", bytes(3)), TokenKind.KERBEROS),
    (init([KERBEROS], AP_REQ), TokenKind.KERBEROS),
    (init([MS_KERBEROS, KERBEROS, NEGOEX, NTLM], AP_REQ), TokenKind.KERBEROS),
    (init([KERBEROS, NTLM], AP_REQ, FLAGS), TokenKind.KERBEROS),
    (init([KERBEROS, NTLM]), TokenKind.KERBEROS),
    (init([NTLM, KERBEROS]), TokenKind.KERBEROS),
    (init([NTLM], TYPE1), TokenKind.SPNEGO_NTLM),
    (init([NTLM], TYPE1, FLAGS), TokenKind.SPNEGO_NTLM),
    (init([NEGOEX, NTLM], b"NEGOEXTS" + bytes(90)), TokenKind.SPNEGO_NTLM),
    (init([KERBEROS, NTLM], TYPE1), TokenKind.SPNEGO_NTLM),
    (init([NTLM]), TokenKind.SPNEGO_NTLM),
    (response(), TokenKind.SPNEGO_MORE),
    (response(b"NTLMSSP\0\3\0\0\0"), TokenKind.SPNEGO_MORE),
    (b"", TokenKind.UNKNOWN),
    (b"NTLMSSP", TokenKind.UNKNOWN),
    (b"hello", TokenKind.UNKNOWN),
    (init([NEGOEX]), TokenKind.UNKNOWN),
    (init([]), TokenKind.UNKNOWN),
    (der(0x60, USER_TO_USER, "0400"), TokenKind.UNKNOWN),
    (der(0x60, SPNEGO), TokenKind.UNKNOWN),
    (der(0x60, SPNEGO, der(0xA0)), TokenKind.UNKNOWN),
    (der(0x60, SPNEGO, der(0xA1, der(0x30))), TokenKind.UNKNOWN),
    (der(0x60), TokenKind.UNKNOWN),
    (b"\x60\x80\x00\x00", TokenKind.UNKNOWN),
    (b"\x60\x84\xff\xff\xff\xff", TokenKind.UNKNOWN),
    (b"\x60\x85\x00\x00\x00\x00\x01", TokenKind.UNKNOWN),
    (b"\xa1\x05\x30", TokenKind.UNKNOWN),
]


@pytest.mark.parametrize(("token", "kind"), TABLE)
def test_classified(token, kind):
    assert classify(token) is kind


@pytest.mark.parametrize("token", [token for token, kind in TABLE if kind is not TokenKind.UNKNOWN])
def test_a_token_that_ends_early_is_unknown(token):
    kinds = {classify(token[:length]) for length in range(len(token))}
    assert kinds <= {TokenKind.UNKNOWN, TokenKind.NTLM}


@pytest.mark.parametrize(
    ("token", "ntlm", "kerberos"),
    [
        (TYPE1, TYPE1, None),
        (init([NTLM], TYPE1), TYPE1, None),
        (init([NTLM]), None, None),
        (response(TYPE1), TYPE1, None),
        (response(b"other"), None, None),
        (response(), None, None),
        (AP_REQ, None, AP_REQ),
        (init([KERBEROS], AP_REQ), None, AP_REQ),
        (b"junk", None, None),
    ],
)
def test_the_message_inside(token, ntlm, kerberos):
    assert ntlm_message(token) == ntlm
    assert kerberos_message(token) == kerberos


def test_decoded():
    assert decode(b64encode(TYPE1).decode()) == TYPE1
    assert decode(b64encode(bytes(MAX_TOKEN)).decode()) == bytes(MAX_TOKEN)


@pytest.mark.parametrize("text", ["", "A", "AA A", "AAA", "A-_A", "é", "AAAA\n", "A" * (MAX_TOKEN * 2)])
def test_what_is_not_base64(text):
    assert decode(text) is None
