"""The pure parts of the MSI: its description, the statements that amend it, the cabinet of its secret."""

import struct
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.msi import PASSWORD, TOKEN, stamp

from keyfast.errors import UsageError
from keyfast.installers.msi import names
from keyfast.installers.msi.amend import base_statements, formatted, registry_table, stamp_statements
from keyfast.installers.msi.cabinet import cabinet
from keyfast.installers.msi.document import document, product_version

WIX = "{http://schemas.microsoft.com/wix/2006/wi}"
FILES = ("agent.exe", "a.dll", "lib/x/one.py", "lib/x/two.py", "lib/y & z/three.py")


def parsed(version="1.2.3", files=FILES):
    return ET.fromstring(document(version, "agent.exe", files))  # noqa: S314 - made here


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("0.1.0", "0.1.0"), ("1.2", "1.2.0"), ("1.2.3rc1", "1.2.3"), ("255.255.65535", "255.255.65535")],
)
def test_the_version_that_windows_compares(given, wanted):
    assert product_version(given) == wanted


@pytest.mark.parametrize("version", ["", "abc", "1", "256.0.0", "1.256.0", "1.2.65536", "v1.2.3"])
def test_a_version_that_windows_cannot_express_is_refused(version):
    with pytest.raises(UsageError):
        product_version(version)


def test_every_file_is_in_one_component_and_every_component_in_the_feature():
    root = parsed()
    files = [file.attrib["Source"] for file in root.iter(f"{WIX}File")]
    assert sorted(files) == sorted(FILES)
    components = [component.attrib["Id"] for component in root.iter(f"{WIX}Component")]
    referred = [ref.attrib["Id"] for ref in root.iter(f"{WIX}ComponentRef")]
    assert sorted(components) == sorted(referred)


def test_names_and_codes_occur_once():
    root = parsed()
    for attribute in ("Id", "Guid"):
        found = [one.attrib[attribute] for one in root.iter() if attribute in one.attrib and "Ref" not in one.tag]
        assert len(found) == len(set(found))


def test_the_same_tree_gives_the_same_document_and_another_version_other_components():
    assert document("1.2.3", "agent.exe", FILES) == document("1.2.3", "agent.exe", tuple(reversed(FILES)))

    def codes(version):
        return {component.attrib["Guid"] for component in parsed(version).iter(f"{WIX}Component")}

    assert not codes("1.2.3") & codes("1.2.4")


def test_only_the_launcher_is_a_key_file():
    """Windows leaves a component out if its key file is there in a "newer" version: DLLs must not decide that."""
    keys = [file.attrib["Source"] for file in parsed().iter(f"{WIX}File") if file.attrib.get("KeyPath")]
    assert keys == ["agent.exe"]


def test_every_action_has_a_number_and_a_condition():
    actions = list(parsed().iter(f"{WIX}Custom"))
    assert len(actions) == 5
    assert all(action.attrib["Sequence"].isdigit() and action.text for action in actions)


def test_statements_hold_nothing_secret():
    made = stamp()
    texts = [*stamp_statements(made), registry_table(made.values()), *base_statements("1.2.3", 5)]
    assert not any(secret in text for secret in (PASSWORD, TOKEN) for text in texts)


def test_a_stamp_brings_its_own_codes_and_the_length_of_its_secret():
    made = stamp()
    text = "\n".join(stamp_statements(made))
    assert f"{{{made.product_code.upper()}}}" in text
    assert f"`FileSize` = {len(made.secret)}" in text


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("plain", "plain"), ("a[b]", r"a[\[]b[\]]"), ("{x}", r"[\{]x[\}]"), ("#7", "##7"), ("O'Brien", "O'Brien")],
)
def test_values_are_written_so_that_windows_reads_them_as_they_are(value, wanted):
    assert formatted(value) == wanted


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "a\rb", "a\0b"])
def test_a_value_that_would_break_the_table_is_refused(value):
    with pytest.raises(UsageError):
        registry_table({"AccountName": value})


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\t\r\n\0"), max_size=40))
def test_what_windows_makes_of_a_formatted_value_is_the_value(value):
    assert expanded(formatted(value)) == value


def expanded(text):
    """What Windows Installer does with a formatted text without properties, and with # at the start of a value."""
    out, at = "", 0
    while at < len(text):
        if text.startswith("[\\", at):
            out, at = out + text[at + 2], at + 4
        else:
            assert text[at] not in "[]{}"
            out, at = out + text[at], at + 1
    if out.startswith("#"):
        assert out.startswith("##"), "one # alone is the start of a number"
        return out[1:]
    return out


def test_the_client_database_is_made_but_never_removed():
    rows = [line.split("\t") for line in registry_table({}).splitlines()]
    assert ["ClientDatabase", "2", names.DATABASE_KEY, "+", "", names.VALUES_COMPONENT] in rows


@given(st.binary(max_size=100_000))
def test_a_cabinet_gives_back_its_file(content):
    assert unpacked(cabinet("BundleFile", content)) == ("BundleFile", content)


def unpacked(data):
    """Read a cabinet by MS-CAB, checksums included."""
    signature, _, size, _, files_at, _, minor, major, folders, files = struct.unpack_from("<4sIIIIIBBHH", data)
    assert (signature, size, minor, major, folders, files) == (b"MSCF", len(data), 3, 1, 1, 1)
    data_at, blocks, compression = struct.unpack_from("<IHH", data, 36)
    assert compression == 0
    length, offset, folder, _, _, _ = struct.unpack_from("<IIHHHH", data, files_at)
    assert (offset, folder) == (0, 0)
    name = data[files_at + 16 : data.index(0, files_at + 16)].decode()
    content, at = b"", data_at
    for _ in range(blocks):
        checksum, packed, plain = struct.unpack_from("<IHH", data, at)
        piece = data[at + 8 : at + 8 + packed]
        assert packed == plain == len(piece)
        assert checksum == added(data[at + 4 : at + 8] + b"", added(piece, 0))
        content, at = content + piece, at + 8 + packed
    assert (at, len(content)) == (len(data), length)
    return name, content


def added(data, seed):
    """The checksum as MS-CAB section 3.1 writes it."""
    words, rest = divmod(len(data), 4)
    for n in range(words):
        seed ^= int.from_bytes(data[4 * n : 4 * n + 4], "little")
    tail, total = data[4 * words :], 0
    for n, byte in enumerate(tail):
        total |= byte << (8 * (rest - 1 - n))
    return seed ^ total
