"""Exports are strangers' files: whatever is in them, nothing crashes, and in no output is a name more than text."""

import csv
import html
import io
import json
import re
import time
import unicodedata
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.support.diagnosis_cases import HITS, NOW
from tests.support.hive_file import hive as make_hive
from tests.support.see_site import FIELDS, reg_export

from keyfast.cli import diagnose_csv, diagnose_html, diagnose_text
from keyfast.core.diagnosis.engine import CANNOT_TELL, diagnose
from keyfast.core.diagnosis.evidence import Affected, Evidence
from keyfast.core.diagnosis.finding import Confidence, Scope
from keyfast.core.diagnosis.rule import judge
from keyfast.core.diagnosis.table import RULES
from keyfast.core.visible import LONGEST, visible
from keyfast.errors import UsageError
from keyfast.see import hive, inventory, registry_text
from keyfast.see.client import Client, client
from keyfast.see.iis_log import IisLog
from keyfast.see.lines import lines
from keyfast.see.log_facts import of_account
from keyfast.see.registry_text import Damaged
from keyfast.see.report import GroupReport, Moment, SiteReport, SourceLine, Step
from keyfast.see.tally import Tally

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "\x1b]0;owned\x07\x1b[2J",
    "=cmd|'/C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "\tx",
    " =1",
    "[red]markup[/red]",
    "[/]",
    "\u202egpj.exe\u202c",
    "a\u200bb",
    "\ud800",
    "line\r\nbreak",
    "'; Remove-Item -Recurse C:\\ #",
    "\u2019; Remove-Item #",
    "x" * 5000,
)
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))
anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@anywhere
@given(st.binary(max_size=3000))
@example(b"\xff\xfe\x00")
@example(b"\x1f\x8b\x08")
def test_any_bytes_are_lines(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    found = list(lines(path))
    assert len(found) <= content.count(b"\n") + content.count(b"\r") + 2


@anywhere
@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["utf-16-le", "utf-16-be", "utf-8"]), st.data())
def test_a_truncated_or_mangled_export_is_damaged_and_no_more(tmp_path, account, domain, encoding, data):
    whole = reg_export(account, domain).encode(encoding, "replace")
    cut = data.draw(st.integers(0, len(whole)))
    place = data.draw(st.integers(0, max(cut - 1, 0)))
    content = bytearray(whole[:cut])
    if content:
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "export.reg"
    path.write_bytes(bytes(content))
    for found in registry_text.read(lines(path), "PC1"):
        assert isinstance(found, Client | Damaged)


plain = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs")), min_size=1, max_size=40
)


@given(plain, plain)
def test_what_was_exported_is_what_is_read(account, domain):
    account, domain = account.replace("\\", "x").replace("@", "x"), domain.replace("\\", "x")
    (found,) = registry_text.read(reg_export(account, domain).split("\r\n"), "PC1")
    assert (found.account, found.domain) == (visible(account), visible(domain))


@given(st.lists(st.one_of(st.none(), st.text(max_size=80)), max_size=30))
def test_any_lines_are_an_inventory_or_refused(rows):
    try:
        found = list(inventory.read(rows, {}))
    except UsageError:
        return
    assert all(isinstance(one, Client | Damaged) for one in found)


@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=60), max_size=30
    )
)
def test_any_rows_below_a_header_are_clients_or_damage(rows):
    found = list(inventory.read(["machine,accountname", *rows], {}))
    damaged = sum(one.lines for one in found if isinstance(one, Damaged))
    clients = sum(isinstance(one, Client) for one in found)
    assert damaged + clients <= len(rows)


@given(
    st.lists(
        st.one_of(st.none(), st.text(max_size=120), st.from_regex(r"#Fields: [a-z -]{0,60}", fullmatch=True)),
        max_size=30,
    )
)
def test_any_lines_are_a_log(rows):
    log = IisLog(frozenset({"svc"}))
    damaged = sum(part.lines for part in log.read([f"#Fields: {FIELDS}", *rows]))
    assert damaged <= len(rows)
    of_account(log, "svc")


TREE = {"Other": {"X": {}}, "Encryption Anywhere": {"Framework": {"Client Database": {"AccountName": "svc"}}}}
HIVE = make_hive(TREE)


@anywhere
@given(
    st.lists(st.tuples(st.integers(0, 0x1400), st.integers(0, 255)), min_size=1, max_size=20), st.integers(0, len(HIVE))
)
def test_a_mangled_hive_is_damaged_or_read_and_soon(tmp_path, changes, cut):
    content = bytearray(HIVE)
    for place, byte in changes:
        content[place] = byte
    path = tmp_path / "hive"
    path.write_bytes(bytes(content[: max(cut, 8)]) if cut % 3 == 0 else bytes(content))
    began = time.monotonic()
    found = hive.read(path, "PC1")
    assert found is None or isinstance(found, Client | Damaged)
    assert time.monotonic() - began < 5


def test_a_hive_that_goes_in_circles_ends(tmp_path):
    content = bytearray(HIVE)
    at = content.index(b"lf\x01\x00", 0x1000)
    parent = int.from_bytes(content[at + 4 : at + 8], "little")
    for place in range(len(content) - 8):
        if content[place : place + 4] == b"lf\x02\x00":
            content[place + 4 : place + 8] = (0x20).to_bytes(4, "little")
            content[place + 12 : place + 16] = (0x20).to_bytes(4, "little")
    assert parent
    path = tmp_path / "hive"
    path.write_bytes(bytes(content))
    began = time.monotonic()
    assert hive.read(path, "PC1") is None
    assert time.monotonic() - began < 5


@given(st.text())
@example("\x1b[2J\u202e\ud800\U000e0001")
def test_visible_text_has_nothing_hidden_and_an_end(text):
    shown = visible(text)
    assert len(shown) <= LONGEST
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    shown.encode()


def site(machine: str, account: str, domain: str, version: str, note: str) -> tuple[SiteReport, Tally, Client]:
    """A report about one machine whose every name is a stranger's."""
    one = client(machine, {"AccountName": account, "AccountDomain": domain, machine: note}, version=version)
    tally = Tally()
    tally.add(one)
    (group,) = tally.groups
    affected = Affected(Scope.ACCOUNT, group.key, 1, tuple(group.names))
    hit = msgspec.structs.replace(HITS["account-disabled"], affected=affected)
    hit = msgspec.structs.replace(hit, account=msgspec.structs.replace(hit.account, name=group.key, reading=None))
    report = GroupReport(
        group.key,
        1,
        tuple(group.names),
        group.clients,
        dict(group.versions),
        dict(group.servers),
        diagnose(hit),
        (Moment(NOW, "the silence began"),),
        (visible(note),),
    )
    source = SourceLine(visible(note), "registry export", 1, 1, visible(note))
    return SiteReport(NOW, 1, (source,), (report,), (Step(NOW, 3, 4),), 60, (visible(note),)), tally, one


class Watcher(HTMLParser):
    """Notes every element and attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.seen.update(name for name, _ in attrs)


def elements(page: str) -> set[str]:
    watcher = Watcher()
    watcher.feed(page)
    return watcher.seen


CLEAN = elements(diagnose_html.render(site("PC1", "svc", "CORP", "12.0", "note")[0]))


@given(names, names, names, names, names)
@settings(max_examples=60)
def test_no_name_is_more_than_text_in_any_output(machine, account, domain, version, note):
    report, *_ = site(machine, account, domain, version, note)
    page = diagnose_html.render(report)
    assert elements(page) <= CLEAN | {"code", "svg"}
    assert "<script" not in page
    assert "{{" not in account or "49" not in html.unescape(page)
    out = io.StringIO()
    diagnose_text.show(report, Console(file=out, width=200, force_terminal=False, highlight=False))
    assert "\x1b" not in out.getvalue()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", out.getvalue() + page)
    shown = visible(machine.strip())
    if len(shown) < 40 and " " not in shown:
        assert shown in out.getvalue()
    assert json.loads(msgspec.json.encode(report))["machines"] == 1


@anywhere
@given(names, names, names)
def test_no_cell_is_a_formula_and_every_cell_stays_in_its_place(tmp_path, machine, account, version):
    report, tally, one = site(machine, account, "CORP", version, "note")
    path = tmp_path / "machines.csv"
    diagnose_csv.write([one], tally, report, path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, row = list(csv.reader(file))
    assert len(head) == len(row) == len(diagnose_csv.COLUMNS)
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row)


@pytest.mark.parametrize("code", sorted(HITS))
def test_what_is_forgotten_never_makes_a_cause_surer(code):
    """Leave out one fact after another: a rule may only fall silent or become less sure of what it needs."""
    rule = next(rule for rule in RULES if rule.code == code)
    whole = judge(rule, HITS[code])
    levels = list(Confidence)
    for family in ("reach", "tls", "http", "token", "record", "policy"):
        facts = getattr(HITS[code], family)
        for fact in facts.__struct_fields__:
            if getattr(facts, fact) is None:
                continue
            less = msgspec.structs.replace(HITS[code], **{family: msgspec.structs.replace(facts, **{fact: None})})
            found = judge(rule, less)
            assert found is None or levels.index(found.confidence) >= levels.index(whole.confidence)


@given(st.lists(st.sampled_from(sorted(HITS)), min_size=1, max_size=6))
def test_of_any_mixture_the_first_is_sure_or_says_that_it_is_not(codes):
    parts: dict[str, object] = {}
    for code in codes:
        for field in Evidence.__struct_fields__:
            value = getattr(HITS[code], field)
            if value != getattr(Evidence(), field):
                parts[field] = value
    first, *others = diagnose(Evidence(**parts))
    assert first.code == CANNOT_TELL or first.confidence is not Confidence.POSSIBLE
    assert all(found.code != CANNOT_TELL for found in others)
