"""Whatever a domain controller sends is read or refused with ValueError; what we encode comes back unchanged."""

from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.directory import Logon
from keyfast.directory import ber, entry, ldap_message, logon_codes
from keyfast.directory.ldap_message import Entry, Result

TAGS = st.integers(0, 0xFE).filter(lambda tag: tag & 0x1F != 0x1F)
NESTED = st.recursive(
    st.builds(ber.tlv, TAGS, st.binary(max_size=200)),
    lambda inner: st.builds(lambda tag, parts: ber.tlv(tag, *parts), TAGS, st.lists(inner, max_size=4)),
    max_leaves=10,
)


@given(st.binary(max_size=400) | NESTED)
def test_any_message_is_read_or_refused(data):
    try:
        number, answer = ldap_message.parse(data)
    except ValueError:
        return
    assert isinstance(number, int)
    assert answer is None or isinstance(answer, (Entry, Result))


@given(TAGS, st.binary(max_size=70_000))
def test_an_element_comes_back_unchanged(tag, value):
    encoded = ber.tlv(tag, value)
    assert list(ber.elements(encoded)) == [(tag, value)]
    assert sum(ber.header(encoded[:8]) or ()) == len(encoded)


@given(NESTED, st.data())
def test_an_element_cut_short_is_incomplete_or_refused(encoded, data):
    part = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    found = ber.header(part)
    assert found is None or sum(found) > len(part)


@given(st.integers(0, 2**63 - 1))
def test_a_number_comes_back_unchanged(value):
    ((tag, raw),) = ber.elements(ber.integer(value))
    assert ber.number((tag, raw)) == value


@given(st.text(alphabet=st.characters(), max_size=100))
def test_a_name_stays_one_value_of_one_filter(name):
    wanted = ldap_message.equals("sAMAccountName", name)
    ((kind, inside),) = ber.elements(wanted)
    (_, attribute), (_, value) = ber.elements(inside)
    assert (kind, attribute) == (0xA3, b"sAMAccountName")
    assert value.decode("utf-8", "surrogatepass") == name


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
