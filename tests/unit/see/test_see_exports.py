"""Registry exports, inventories and hives as Windows tools write them, and as they are found damaged."""

import gzip
import sys

import pytest
from tests.support.hive_file import hive as make_hive
from tests.support.see_site import KEY, reg_export

from keyfast.cli.main import main
from keyfast.errors import UsageError
from keyfast.see import hive, inventory
from keyfast.see.client import Client, client, is_client_database, logon_name
from keyfast.see.exports import Exports, Reader
from keyfast.see.lines import LONGEST_LINE, lines
from keyfast.see.registry_text import Damaged, read
from keyfast.see.tally import Tally, numbers

V5 = "Windows Registry Editor Version 5.00\r\n\r\n"


def clients(text, machine="PC1"):
    return list(read(text.split("\n"), machine))


def from_file(tmp_path, content, name="PC-9.reg"):
    path = tmp_path / name
    path.write_bytes(content)
    reader = Reader(Exports(registry=(path,)))
    return list(reader.clients()), reader.sources


ENCODINGS = {
    "utf-16-le with mark": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16-be with mark": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16-le without": lambda text: text.encode("utf-16-le"),
    "utf-16-be without": lambda text: text.encode("utf-16-be"),
    "utf-8 with mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-8": lambda text: text.encode(),
    "ansi": lambda text: text.encode("cp1252"),
    "compressed": lambda text: gzip.compress(text.encode()),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_an_export(tmp_path, encoding):
    found, (source,) = from_file(tmp_path, ENCODINGS[encoding](reg_export("svc-sée", "CORP")))
    assert [(one.machine, one.account, one.domain) for one in found] == [("PC-9", "svc-sée", "CORP")]
    assert (source.records, source.damaged) == (1, 0)


def test_regedit4_has_its_strings_in_ansi():
    text = f'REGEDIT4\n\n[{KEY}]\n"AccountName"=hex(2):73,76,63,2d,e9,00\n"AccountDomain"="CORP"\n'
    assert [one.account for one in clients(text)] == ["svc-é"]


def test_hexadecimal_strings_go_on_over_lines():
    raw = ",".join(f"{byte:02x}" for byte in "svc-see\0".encode("utf-16-le"))
    text = f'{V5}[{KEY}]\n"AccountName"=hex(1):{raw[:24]}\\\n  {raw[24:]}\n"AccountDomain"="CORP"\n"N"=dword:00000001\n'
    (found,) = clients(text)
    assert (found.account, found.others) == ("svc-see", ("N",))


def test_a_text_with_line_breaks_goes_on_to_its_quote():
    text = f'{V5}[{KEY}]\n"Note"="first\nsecond \\" third"\n"AccountName"="svc-see"\n'
    (found,) = clients(text)
    assert (found.account, found.others) == ("svc-see", ("Note",))


def test_only_the_client_database_counts_wherever_it_is_loaded():
    text = V5 + "".join(
        f'[{path}]\n"AccountName"="{name}"\n\n'
        for path, name in (
            (r"HKEY_LOCAL_MACHINE\SOFTWARE\Encryption Anywhere\Framework", "no"),
            (KEY + r"\Below", "no"),
            ("-" + KEY, "no"),
            (KEY.replace("SOFTWARE", r"SOFTWARE\WOW6432Node"), "one"),
            (KEY.replace("HKEY_LOCAL_MACHINE\\SOFTWARE", r"HKEY_USERS\Loaded"), "two"),
        )
    )
    assert [one.account for one in clients(text)] == ["one", "two"]


def test_what_reg_query_prints_with_the_machine_in_the_path():
    text = (
        f"\n{KEY}\n    AccountName    REG_SZ    svc-see\n    AccountDomain    REG_SZ    CORP\n    Empty    REG_SZ    \n"
        f"\n\\\\PC7\\HKLM\\SOFTWARE\\Encryption Anywhere\\Framework\\Client Database\n\tAccountName\tREG_SZ\tsvc-two\n"
    )
    assert [(one.machine, one.account) for one in clients(text)] == [("PC1", "svc-see"), ("PC7", "svc-two")]


def test_damaged_lines_are_counted_and_the_rest_is_read():
    text = f'{V5}[{KEY}]\nrubbish\n"AccountName"="svc-see"\n"X"=hex(1):zz\n"Open"="never closed\n'
    found = clients(text)
    assert [one.account for one in found if isinstance(one, Client)] == ["svc-see"]
    assert sum(one.lines for one in found if isinstance(one, Damaged)) == 4


def test_a_line_without_end_is_one_damaged_line(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"a" * (3 * LONGEST_LINE) + b"\nshort\n")
    assert list(lines(path)) == [None, "short"]
    path.write_bytes(b"\xff\xfe" + ("a" * (3 * LONGEST_LINE) + "\nshort\n").encode("utf-16-le"))
    assert list(lines(path)) == [None, "short"]


def test_a_broken_archive_ends_with_a_damaged_line(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"line\n" * 100_000)[:-40])
    found = list(lines(path))
    assert found[-1] is None
    assert found[0] == "line"


def test_progress_is_all_bytes_of_the_file(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x\n" * 2_000_000)
    told = []
    assert sum(1 for _ in lines(path, told.append)) == 2_000_000
    assert sum(told) == path.stat().st_size


def test_an_export_without_the_key_says_so(tmp_path):
    found, (source,) = from_file(tmp_path, b"nothing of interest\n")
    assert (found, source.note) == ([], "no client database in it")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match="there is no"):
        Reader(Exports(registry=(tmp_path / "gone",)))


@pytest.mark.parametrize(
    ("account", "domain", "expected"),
    [
        ("svc", "CORP", ("svc", "CORP")),
        ("CORP\\svc", "", ("svc", "CORP")),
        ("svc@corp.example", "", ("svc", "corp.example")),
        (" svc ", " CORP ", ("svc", "CORP")),
    ],
)
def test_names_of_accounts(account, domain, expected):
    assert logon_name(account, domain) == expected


def test_values_are_not_kept_and_addresses_without_their_secrets():
    found = client("PC1", {"AccountName": "a", "Password": "s3cret", "Url": "https://see.example:8443/x?key=s3cret"})
    assert found.others == ("Password", "Url")
    assert found.server == "https://see.example:8443"
    assert "s3cret" not in repr(found)
    assert client("PC1", {"Url": "https://user:s3cret@see.example/"}).server == ""


def test_paths_of_the_client_database():
    assert is_client_database(KEY.lower() + "\\")
    assert not is_client_database(KEY + "2")


TREE = {"Encryption Anywhere": {"Framework": {"Client Database": {"AccountName": "svc-see", "AccountDomain": "CORP"}}}}


@pytest.mark.parametrize("depth", range(4))
def test_hives_of_software_and_of_parts_of_it(tmp_path, depth):
    tree, root = TREE, "ROOT"
    for _ in range(depth):
        ((root, tree),) = tree.items()
    path = tmp_path / "PC3.hiv"
    path.write_bytes(make_hive(tree, root=root, dirty=depth == 3))
    reader = Reader(Exports(hives=(tmp_path,)))
    assert [(one.machine, one.account) for one in reader.clients()] == [("PC3", "svc-see")]
    assert ("in use" in reader.sources[0].note) == (depth == 3)


def test_a_hive_of_a_32_bit_client_and_one_without(tmp_path):
    path = tmp_path / "PC3"
    path.write_bytes(make_hive({"Other": {}, "WOW6432Node": TREE}))
    assert hive.read(path, "PC3").account == "svc-see"
    path.write_bytes(make_hive({"Other": {"X": {}}}))
    assert hive.read(path, "PC3") is None
    path.write_bytes(b"regf" + b"\0" * 9000)
    assert isinstance(hive.read(path, "PC3"), Damaged)


CSV = {
    "comma": "Computer Name,AccountName,AccountDomain,Client Version\nPC1,svc,CORP,11.3.1\n",
    "semicolon": "sep=;\nHostname;Account Name;Account Domain;Version\nPC1;svc;CORP;11.3.1\n",
    "tab": "Machine\tAccountName\tDomain\tSEE Version\nPC1\tsvc\tCORP\t11.3.1\n",
    "powershell": '#TYPE Selected.Object\n"PSComputerName","AccountName","AccountDomain","Version"\n'
    '"PC1","svc","CORP","11.3.1"\n',
}


@pytest.mark.parametrize("kind", CSV)
def test_inventories_of_every_dialect(kind):
    (found,) = inventory.read(CSV[kind].splitlines(), {})
    assert (found.machine, found.account, found.domain, found.version) == ("PC1", "svc", "CORP", "11.3.1")


def test_columns_can_be_named():
    text = "Asset Tag,Login\nPC1,svc\n"
    with pytest.raises(UsageError, match="no line of columns with machine and account"):
        list(inventory.read(text.splitlines(), {}))
    (found,) = inventory.read(text.splitlines(), {"machine": "asset tag", "account": "LOGIN"})
    assert (found.machine, found.account) == ("PC1", "svc")


def test_an_inventory_with_a_row_for_each_value():
    text = "Computer,Value Name,Data\nPC1,AccountName,svc\nPC1,AccountDomain,CORP\nPC2,AccountName,two\nshort\n"
    found = [one for one in inventory.read(text.splitlines(), {}) if isinstance(one, Client)]
    assert [(one.machine, one.account, one.domain) for one in found] == [("PC1", "svc", "CORP"), ("PC2", "two", "")]


def test_an_open_quote_damages_its_line_and_no_other():
    rows = [f"PC{number},svc" for number in range(100)]
    rows[3] = '"PC3,svc'
    rows[50] = "only-one-field"
    found = list(inventory.read(["machine,accountname", *rows], {}))
    assert sum(isinstance(one, Client) for one in found) == 98
    assert sum(isinstance(one, Damaged) for one in found) == 2


def test_a_field_may_hold_a_line_break():
    rows = ["machine,accountname,comment", 'PC1,svc,"a', 'b"', "PC2,svc,c"]
    assert [one.machine for one in inventory.read(rows, {})] == ["PC1", "PC2"]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31", 1769817600),
        ("2026-01-31T01:00:00+01:00", 1769817600),
        ("31.01.2026 00:00", 1769817600),
        ("1/31/2026 12:00:00 AM", 1769817600),
        ("03/04/2026", 0),
        ("never", 0),
        ("0001-01-01", 0),
    ],
)
def test_dates(text, at):
    assert inventory.moment(text) == at


def test_versions_come_from_a_list_of_their_own(tmp_path):
    table, versions = tmp_path / "machines.csv", tmp_path / "versions.csv"
    table.write_text("machine,accountname\nPC1,svc\npc2.corp.example,svc\nPC3,svc\n")
    versions.write_text("computer,version,lastcheckin\npc1,12.0.1,2026-01-31\nPC2,11.4\n")
    reader = Reader(Exports(inventories=(table,), versions=versions))
    tally = Tally()
    for found in reader.clients():
        tally.add(found)
    (group,) = tally.groups
    shown = group.clients
    assert (shown.tokens, shown.capable, shown.older, shown.unknown) == (1, 0, 0, 2)
    versions.write_text("computer,version\npc1,12.0.1\nPC2,11.4\n")
    assert [one.version for one in Reader(Exports(inventories=(table,), versions=versions)).clients()] == [
        "12.0.1",
        "11.4",
        "",
    ]


def test_groups_do_not_distinguish_case_and_are_bounded():
    tally = Tally()
    for account in ("svc", "SVC", "Svc"):
        tally.add(Client("PC", account, "corp"))
    tally.add(Client("PC", "svc", "OTHER"))
    assert [(group.key, group.machines) for group in tally.groups] == [("CORP\\svc", 3), ("OTHER\\svc", 1)]
    for number in range(10_100):
        tally.add(Client("PC", f"a{number}", "X"))
    assert len(tally.groups) == 10_001
    assert sum(group.machines for group in tally.groups) == 10_104


@pytest.mark.parametrize(
    ("text", "found"), [("12.0.1", (12, 0, 1)), ("", None), ("12.x", None), ("9" * 10, None), ("²", None)]
)
def test_numbers_of_versions(text, found):
    assert numbers(text) == found


def test_a_fault_about_a_hostile_file_is_text_and_not_markup(tmp_path, monkeypatch, capsys):
    table = tmp_path / "hostile.csv"
    table.write_text("[/] [link=https://evil.example]click[/link] \x1b[2J\n")
    monkeypatch.setattr(sys, "argv", ["keyfast", "diagnose", "see", "--csv", str(table)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "[link=https://evil.example]click[/link]" in told
    assert "\x1b" not in told
