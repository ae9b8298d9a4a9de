"""Exports of the audit trail are read back by parsers of their formats, whatever stands in a record."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.audit import Act, Actor, Entry, Outcome, Via, appended, follow, genesis, plain
from keyfast.core.audit_actions import ACTIONS
from keyfast.core.visible import visible
from keyfast.wire.audit_formats import Format, line

HOST = "server.example"
NASTY = "x\n<109>1 fake\r\0\x1b[31m|=]\\\"' \u2028\u202eend"
HEADER = re.compile(r"<(\d{1,3})>1 (\S+) (\S+) keyfast - (\S{1,32}) (.*)", re.DOTALL)
texts = st.one_of(st.just(NASTY), st.text(max_size=40)).map(plain)
entries = st.builds(
    Act,
    at=st.integers(0, 2**34),
    actor=st.builds(Actor, name=texts, via=st.sampled_from(Via), role=texts, request=texts),
    action=st.sampled_from(sorted(ACTIONS)),
    subject_kind=st.sampled_from(sorted({rule.subject for rule in ACTIONS.values()})),
    subject=texts,
    detail=st.dictionaries(st.sampled_from(["why", "reason", "missing"]), texts, max_size=3),
    outcome=st.sampled_from(Outcome),
).map(lambda act: appended(genesis("installation"), act))


def shown(text: str) -> str:
    return visible(text, 10_000)


def structured(text: str) -> tuple[list[tuple[str, dict[str, str]]], str]:
    """Read structured data as RFC 5424 section 6.3 has it; return it, and what is left."""
    found = []
    while text.startswith("["):
        name, text = re.match(r"\[([^ =\]\"]+)(.*)", text, re.DOTALL).groups()
        params: dict[str, str] = {}
        while text.startswith(" "):
            key, value, text = re.match(r' ([^ =\]"]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"(.*)', text, re.DOTALL).groups()
            params[key] = re.sub(r'\\(["\\\]])', r"\1", value)
        assert text.startswith("]")
        found.append((name, params))
        text = text[1:]
    return found, text


def extension(text: str) -> dict[str, str]:
    """Read the extension of a CEF line: a key begins after a blank, and ends at the next '=' without a backslash."""
    parts = re.split(r"(?:^| )([A-Za-z0-9]+)=(?=(?:[^\\]|$|\\))", text)
    keys = re.finditer(r"(?:^| )([A-Za-z0-9]+)(?<!\\)=", text)
    places = [(match.group(1), match.start(), match.end()) for match in keys]
    ends = [start for _, start, _ in places[1:]] + [len(text)]
    assert parts[0] == ""
    return {
        key: re.sub(r"\\([\\=])", r"\1", text[begin:end]) for (key, _, begin), end in zip(places, ends, strict=True)
    }


def one_line(entry: Entry, form: Format) -> str:
    text = line(entry, form, HOST).decode()
    assert text.endswith("\n")
    body = text[:-1]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", body)
    return body


@given(entries)
def test_json_lines_hold_all_that_is_hashed(entry):
    text = line(entry, Format.JSONL, HOST)
    assert text.count(b"\n") == 1
    again = msgspec.json.decode(text, type=Entry)
    assert again == entry
    assert follow(genesis("installation"), [again]).number == 1


@given(entries)
def test_syslog_is_read_back(entry):
    record = entry.record
    priority, at, host, action, rest = HEADER.fullmatch(one_line(entry, Format.SYSLOG)).groups()
    assert priority == ("109" if record.outcome == "done" else "108")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at)
    assert (host, action) == (HOST, record.action)
    (first, *others), message = structured(rest)
    assert message == f" {record.action} {record.outcome}"
    assert first[0] == "act@32473"
    assert first[1]["actor"] == shown(record.actor)
    assert first[1]["subject"] == shown(record.subject)
    assert (first[1]["number"], first[1]["hash"]) == ("1", entry.hash)
    told = {name: shown(text) for name, text in record.detail.items()}
    assert others == ([("detail@32473", told)] if told else [])


@given(entries)
def test_cef_is_read_back(entry):
    record = entry.record
    header = re.match(r"((?:[^|\\]|\\[|\\])*\|){7}", one_line(entry, Format.CEF))
    assert header.group().startswith("CEF:0|Keyfast|Keyfast|")
    fields = extension(one_line(entry, Format.CEF)[header.end() :])
    assert fields["externalId"] == "1"
    assert fields["rt"] == str(record.at * 1000)
    assert fields.get("suser", "") == shown(record.actor)
    assert fields.get("cs2", "") == shown(record.subject)
    assert fields["cs5"] == entry.hash
    assert msgspec.json.decode(fields["cs6"]) == {name: visible(text, 600) for name, text in record.detail.items()}


def test_a_host_name_is_one_word_of_ascii():
    entry = appended(genesis(""), Act(0, Actor("a", Via.SERVER), "keys_exported", "installation", "", {}))
    assert line(entry, Format.SYSLOG, "h\u00f6st name").split()[2] == b"h?st?name"
    assert line(entry, Format.SYSLOG, "").split()[2] == b"-"
