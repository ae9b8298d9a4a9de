"""What is read from the last NTLM message, by the example of MS-NLMP 4.2.4 and by pyspnego's messages."""

import struct

import pytest
import spnego
from spnego.channel_bindings import GssChannelBindings

from keyfast.trust.ntlm_message import channel_binding_of, expected_md5, is_authenticate, is_negotiate, names_of

DIGEST = bytes(range(16))


def pair(kind, value=b""):
    return struct.pack("<HH", kind, len(value)) + value


def type3(response, length=None, start=64):
    field = struct.pack("<HHI", len(response) if length is None else length, 0, start)
    return (b"NTLMSSP\0\3\0\0\0" + bytes(8) + field).ljust(64, b"\0") + response


def v2(*pairs):
    return type3(bytes(16) + b"\1\1" + bytes(26) + b"".join(pairs))


END = pair(0)


@pytest.mark.parametrize(
    ("message", "binding"),
    [
        (v2(pair(10, DIGEST), END), DIGEST),
        (v2(pair(2, b"CORP"), pair(9, b""), pair(10, DIGEST), END, bytes(4)), DIGEST),
        (v2(pair(10, DIGEST), pair(10, bytes(16)), END), DIGEST),
        (v2(pair(10, bytes(16)), END), None),
        (v2(pair(2, b"CORP"), END), None),
        (v2(END, pair(10, DIGEST)), None),
        (type3(bytes(24)), None),
        (type3(b""), None),
    ],
)
def test_the_binding_of_a_message(message, binding):
    assert channel_binding_of(message) == binding


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"NTLMSSP\0",
        b"NTLMSSP\0\3\0\0\0",
        b"NTLMSSP\0\1\0\0\0" + bytes(80),
        b"NTLMSSX\0\3\0\0\0" + bytes(80),
        type3(bytes(60), length=61),
        type3(bytes(60), start=2**32 - 1),
        type3(bytes(43)),
        v2(),
        v2(pair(2, b"CORP")),
        v2(pair(10, DIGEST[:15]), END),
        v2(pair(10, DIGEST + b"x"), END),
        v2(struct.pack("<HH", 10, 16), DIGEST[:8]),
        v2(struct.pack("<HH", 2, 60000), END),
    ],
)
def test_what_is_damaged(message):
    with pytest.raises(ValueError):  # noqa: PT011 - every ValueError is the documented outcome
        channel_binding_of(message)


@pytest.mark.parametrize(
    ("message", "first", "last"),
    [
        (b"NTLMSSP\0\1\0\0\0", True, False),
        (type3(bytes(24)), False, True),
        (type3(b""), False, False),
        (b"NTLMSSP\0\2\0\0\0" + bytes(80), False, False),
        (b"NTLMSSP\0\1\0\0", False, False),
        (b"", False, False),
    ],
)
def test_which_leg(message, first, last):
    assert (is_negotiate(message), is_authenticate(message)) == (first, last)


@pytest.mark.parametrize("application_data", [None, b"tls-server-end-point:" + bytes(32)])
def test_what_a_real_client_sends(tmp_path, monkeypatch, application_data):
    users = tmp_path / "users"
    users.write_text("CORP:user:password\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    bindings = GssChannelBindings(application_data=application_data) if application_data else None
    client = spnego.client("CORP\\user", "password", protocol="ntlm", channel_bindings=bindings)
    server = spnego.server(protocol="ntlm")
    first = client.step()
    last = client.step(server.step(first))
    assert is_negotiate(first)
    assert is_authenticate(last)
    assert channel_binding_of(last) == (expected_md5(application_data) if application_data else None)
    assert names_of(last) == ("CORP", "user")


def named(domain, user, flags=1):
    fields = struct.pack("<HHIHHI", len(domain), 0, 64, len(user), 0, 64 + len(domain))
    return b"NTLMSSP\0\3\0\0\0" + bytes(16) + fields + bytes(16) + struct.pack("<I", flags) + domain + user


def wide(text):
    return text.encode("utf-16-le")


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (named(wide("CORP"), wide("svc-see")), ("CORP", "svc-see")),
        (named(b"", wide("jörg@corp.example.test")), ("", "jörg@corp.example.test")),
        (named(b"CORP", b"svc see", flags=0x2), ("CORP", "svc see")),
        (named(wide("d" * 256), wide("u" * 256)), ("d" * 256, "u" * 256)),
    ],
)
def test_who_the_client_claims_to_be(message, names):
    assert names_of(message) == names


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"NTLMSSP\0\1\0\0\0" + bytes(80),
        named(wide("CORP"), b""),
        named(wide("CORP"), wide("a\nb")),
        named(wide("CO\0RP"), wide("a")),
        named(wide("CORP"), b"abc"),
        named(b"", b"\x00\xd8"),
        named(wide("d" * 257), wide("u")),
        named(wide("CORP"), wide("svc-see"))[:-1],
        named(b"", b"")[:60],
    ],
)
def test_names_that_are_none(message):
    with pytest.raises(ValueError):  # noqa: PT011 - every ValueError is the documented outcome
        names_of(message)
