"""Whatever a stranger sends as a Windows logon, the answer is a declared one; what is valid is read back."""

import contextlib
import struct
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from keyfast.errors import TrustError
from keyfast.trust import basic, negotiate, ntlm_helper, ntlm_message
from keyfast.trust.channel_binding import server_end_point
from keyfast.trust.negotiate import TokenKind
from keyfast.trust.ntlm_status import UNNAMED, status_of

TAGS = st.sampled_from([0x60, 0x30, 0xA0, 0xA1, 0xA2, 0x04, 0x06])
OIDS = st.sampled_from(["2b0601050502", "2a864886f712010202", "2a864882f712010202", "2b06010401823702020a"]).map(
    bytes.fromhex
)
MESSAGES = st.binary(max_size=40).map(negotiate.NTLMSSP.__add__)


def der(tag, body):
    short = len(body) < 128
    return bytes([tag, len(body)]) + body if short else bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body


TREES = st.recursive(
    st.binary(max_size=20) | OIDS.map(lambda oid: der(6, oid)) | MESSAGES,
    lambda inner: st.builds(der, TAGS, st.lists(inner, max_size=4).map(b"".join)),
    max_leaves=20,
)
TOKENS = TREES | st.binary(max_size=200) | TREES.map(lambda tree: tree[:-1])


@given(TOKENS)
def test_every_token_is_of_some_kind(token):
    kind = negotiate.classify(token)
    assert isinstance(kind, TokenKind)
    message = negotiate.ntlm_message(token)
    assert message is None or (message.startswith(negotiate.NTLMSSP) and message in token)
    if kind is TokenKind.KERBEROS:
        assert not token.startswith(negotiate.NTLMSSP)
    inner = negotiate.kerberos_message(token)
    if inner is not None:
        assert negotiate.classify(inner) is TokenKind.KERBEROS
        assert negotiate.kerberos_message(inner) == inner


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda raw: b64encode(raw).decode()))
def test_only_base64_is_decoded(text):
    raw = negotiate.decode(text)
    assert raw is None or raw or not text.strip("=")


@given(st.binary(max_size=300), st.integers(0, 70000), st.integers(0, 400))
def test_a_last_message_is_read_or_refused(tail, length, start):
    message = b"NTLMSSP\0\3\0\0\0" + bytes(8) + struct.pack("<HHI", length % 65536, 0, start) + tail
    with contextlib.suppress(ValueError):
        assert "".join(ntlm_message.names_of(message)).isprintable()
    try:
        binding = ntlm_message.channel_binding_of(message)
    except ValueError:
        return
    assert binding is None or (len(binding) == 16 and binding in message)


@given(st.lists(st.tuples(st.integers(1, 9), st.binary(max_size=40)), max_size=6), st.binary(min_size=16, max_size=16))
def test_a_binding_is_found_among_other_attributes(others, digest):
    pairs = [struct.pack("<HH", kind, len(value)) + value for kind, value in others]
    response = bytes(44) + b"".join(pairs) + struct.pack("<HH", 10, 16) + digest + bytes(4)
    message = (b"NTLMSSP\0\3\0\0\0" + bytes(8) + struct.pack("<HHI", len(response), 0, 64)).ljust(64, b"\0") + response
    assert ntlm_message.channel_binding_of(message) == (digest if any(digest) else None)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_other_channels_have_other_bindings(one, other):
    assert (ntlm_message.expected_md5(one) == ntlm_message.expected_md5(other)) == (one == other)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: "Basic " + b64encode(raw).decode()))
def test_basic_credentials_are_whole_or_nothing(value):
    found = basic.read(value)
    assert found is None or (found.name and found.password.reveal() and "\\" not in found.name)


NAMES = st.text(st.characters(exclude_characters="\\@:", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
PASSWORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60)


@given(NAMES, NAMES, PASSWORDS)
def test_basic_credentials_are_read_back(domain, name, password):
    for user, said in ((f"{domain}\\{name}", domain), (f"{name}@{domain}", domain), (name, "")):
        found = basic.read("Basic " + b64encode(f"{user}:{password}".encode()).decode())
        assert found is not None
        assert (found.domain, found.name, found.password.reveal()) == (said, name, password.encode())


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_said_so(der_bytes):
    try:
        server_end_point(der_bytes)
    except TrustError:
        return
    raise AssertionError("a certificate was guessed")


@given(
    st.binary(max_size=80) | st.builds(bytes.__add__, st.sampled_from([b"TT ", b"AF ", b"NA * "]), st.binary()),
    st.sampled_from([ntlm_helper.BARE, ntlm_helper.WRAPPED]),
)
def test_what_a_helper_says_is_an_answer_or_none(line, protocol):
    try:
        answer = ntlm_helper.parse(line, protocol)
    except ValueError:
        return
    status = status_of(answer.text)
    assert status == UNNAMED or status in answer.text
