"""Address ranges of recovery windows: both families, mapped addresses, and whatever else a proxy may say."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.window import ANY, Window, canonical_range, covers, opening_fault

NOW = 1_800_000_000


def window(*ranges):
    return Window("w", NOW, "admin", NOW + 3600, "why", ranges, ring="labs")


def admits(network, address):
    return covers(window(network), "", "labs", address, NOW)


networks4 = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False), st.ip_addresses(v=4), st.integers(1, 32)
)
networks6 = st.builds(
    lambda address, prefix: IPv6Network((address, prefix), strict=False), st.ip_addresses(v=6), st.integers(1, 128)
)


@given(networks4, st.ip_addresses(v=4))
def test_ipv4_and_its_mapped_form_are_the_same(network, address):
    inside = address in network
    mapped = IPv6Address(f"::ffff:{address}")
    wide = f"::ffff:{network.network_address}/{96 + network.prefixlen}"
    for whence in (str(address), str(mapped), f"{mapped}%eth0", mapped.exploded):
        assert admits(str(network), whence) is inside
        assert admits(wide, whence) is inside
    assert canonical_range(wide) == str(network)


@given(networks6, st.ip_addresses(v=6))
def test_ipv6(network, address):
    if address.ipv4_mapped is None and network.network_address.ipv4_mapped is None:
        assert admits(str(network), str(address)) is (address in network)
        assert admits(str(network), address.exploded) is (address in network)


@given(networks4, networks6)
def test_every_address_of_a_range_is_in_it(network4, network6):
    for network in (network4, network6):
        text = canonical_range(str(network))
        for address in (network[0], network[-1]):
            # An IPv6 address that stands for an IPv4 one is that one, wherever an IPv6 range would have it.
            if text is not None and (getattr(address, "ipv4_mapped", None) is None or "." in text):
                assert admits(text, str(address))


@given(st.text(max_size=60) | st.from_regex(r"[0-9a-f:./%]{0,40}", fullmatch=True))
def test_anything_else_is_no_address_and_no_range(text):
    canonical = canonical_range(text)
    if canonical is None:
        assert opening_fault(window(text)) is not None
    else:
        assert canonical_range(canonical) == canonical
        assert opening_fault(window(canonical)) is None
    assert admits(ANY, text)
    admits("192.0.2.0/24", text)  # no fault, whatever it is
    assert not admits(text, "") or text == ANY
