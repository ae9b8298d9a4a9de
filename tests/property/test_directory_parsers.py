"""Whatever a domain controller sends is read or refused with ValueError; what we encode comes back unchanged."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.ldap_wire import BIND, DONE, EXTENDED, answer, found, read, tlv

from keyfast.core.directory import Logon
from keyfast.directory import entry, ldap_message, logon_codes
from keyfast.directory.ldap_message import Entry, Equals, Result, Scope

TAGS = st.integers(0, 0xFE).filter(lambda tag: tag & 0x1F != 0x1F)
NESTED = st.recursive(
    st.builds(tlv, TAGS, st.binary(max_size=200)),
    lambda inner: st.builds(lambda tag, parts: tlv(tag, *parts), TAGS, st.lists(inner, max_size=4)),
    max_leaves=10,
)


MESSAGES = st.one_of(
    st.builds(answer, st.integers(0, 2**31 - 1), st.sampled_from([BIND, DONE, EXTENDED]), st.sampled_from([0, 14, 49])),
    st.builds(lambda number, dn, value: found(number, dn, cn=value), st.integers(0, 9), st.binary(), st.binary()),
)


def taken(*pieces):
    """All that an inbox gives when it is fed the pieces."""
    inbox, messages = ldap_message.Inbox(), []
    for piece in pieces:
        inbox.feed(piece)
        while (message := inbox.take()) is not None:
            messages.append(message)
    return messages, inbox.size


@given(st.binary(max_size=400) | NESTED)
def test_any_message_is_read_or_refused(data):
    try:
        messages, left = taken(data)
    except ValueError:
        return
    assert left <= len(data)
    for number, said in messages:
        assert isinstance(number, int)
        assert said is None or isinstance(said, (Entry, Result))


@given(st.lists(MESSAGES, max_size=4).map(b"".join), st.data())
def test_it_does_not_matter_how_a_stream_is_cut(encoded, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=8)))
    pieces = [encoded[start:end] for start, end in pairwise([0, *cuts, len(encoded)])]
    assert taken(*pieces) == taken(encoded)
    assert taken(*(bytes((byte,)) for byte in encoded)) == taken(encoded)
    assert taken(encoded)[1] == 0


@given(MESSAGES, st.data())
def test_a_message_cut_short_is_waited_for(encoded, data):
    part = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    messages, _ = taken(part)
    # An entry is followed by the end of its search: the first of the two may be whole.
    assert not any(isinstance(said, Result) for _, said in messages)


@given(MESSAGES, st.binary(min_size=1, max_size=40))
def test_damage_is_read_or_refused(encoded, damage):
    for at in range(len(encoded)):
        try:
            taken(encoded[:at] + damage + encoded[at + len(damage) :])
        except ValueError:
            continue


@pytest.mark.parametrize("tag", [0x30, 0x24, 0x64, 0xA3])
@pytest.mark.parametrize("depth", [90, 3000])
def test_a_message_that_is_nested_for_ever_is_never_read(tag, depth):
    for data in (nested(tag, depth), bytes((tag, 0x80)) * depth * 100):
        for wrapped in (data, tlv(0x30, b"\x02\x01\x01" + data), tlv(0x30, b"\x02\x01\x01", tlv(0x61, data))):
            # Tags that are not LDAP's count as explicit ones, whose content may still come; not for ever.
            with contextlib.suppress(ValueError):
                assert taken(wrapped)[0] == []
                assert depth < 100


def nested(tag, depth):
    data = b""
    for _ in range(depth):
        data = tlv(tag, data)
    return data


@given(st.text(alphabet=st.characters(), max_size=100))
def test_a_name_stays_one_value_of_one_filter(name):
    asked = ldap_message.search(1, "", Scope.SUBTREE, Equals("sAMAccountName", name), (), 1)
    sent = read(asked)["protocolOp"]["searchRequest"]["filter"]
    assert sent.getName() == "equalityMatch"
    assert bytes(sent["equalityMatch"]["attributeDesc"]) == b"sAMAccountName"
    assert bytes(sent["equalityMatch"]["assertionValue"]).decode("utf-8", "surrogatepass") == name


@given(st.text())
def test_any_diagnostic_text_has_a_meaning(text):
    assert isinstance(logon_codes.of_refused_bind(text), Logon)


@given(st.dictionaries(st.sampled_from([name.lower() for name in entry.ACCOUNT]), st.tuples(st.binary(max_size=30))))
def test_any_attribute_values_are_a_reading_or_refused(values):
    try:
        found = entry.reading("dc1", 1, values, groups=(), policy="", lockout_threshold=None)
    except ValueError:
        return
    assert found.exists


@given(st.binary(max_size=80))
def test_any_bytes_are_a_security_identifier_or_refused(raw):
    try:
        assert entry.sid(raw).startswith("S-1-")
    except ValueError:
        return
    assert len(raw) == 8 + 4 * raw[1]
