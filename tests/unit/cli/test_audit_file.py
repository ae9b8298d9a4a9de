"""An exported trail is verified without a server."""

import pytest

from keyfast.cli.audit_file import verified_file
from keyfast.core.audit import Act, Actor, Head, Via, appended, end_of, genesis
from keyfast.core.audit_keep import shortened
from keyfast.errors import UsageError
from keyfast.wire.audit_formats import jsonl

ANNA = Actor("anna", Via.LOCAL_SOCKET)


@pytest.fixture
def lines():
    head, found = genesis("installation"), []
    for number in range(5):
        entry = appended(head, Act(number, ANNA, "mode_opened", "mode", "oauth", {"ring": str(number)}))
        head = end_of(entry)
        found.append(jsonl(entry))
    return found


@pytest.fixture
def verified(tmp_path):
    def run(lines, installation="installation", kept=None):
        path = tmp_path / "trail"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return verified_file(path, installation, kept)

    return run


def test_a_whole_trail_and_its_end_are_intact(verified, lines):
    found = verified(lines)
    assert (found.broken, found.upto.number) == (0, 5)
    assert verified(lines, kept=found.upto).broken == 0
    assert verified(lines[2:], "").upto == found.upto


@pytest.mark.parametrize(
    ("change", "installation", "number", "fault"),
    [
        (lambda lines: lines[:2] + lines[3:], "installation", 3, "missing"),
        (lambda lines: lines[1:], "installation", 1, "missing"),
        (lambda lines: [*lines, lines[0]], "installation", 1, "out of order"),
        (lambda lines: [line.replace(b'"3"', b'"9"') for line in lines], "installation", 4, "changed"),
        (lambda lines: lines, "another", 1, "changed"),
        (lambda lines: lines[:2] + lines[3:], "", 3, "missing"),
    ],
)
def test_what_does_not_fit_is_named(verified, lines, change, installation, number, fault):
    found = verified(change(lines), installation)
    assert (found.broken, found.fault) == (number, fault)


def test_a_kept_head_must_be_on_it(verified, lines):
    assert verified(lines, kept=Head(3, "00" * 32)).broken == 3
    found = verified(lines, kept=Head(9, "00" * 32))
    assert (found.broken, found.fault) == (6, "missing")


def test_a_kept_head_of_before_the_file_proves_nothing_and_is_not_passed_over(verified, lines):
    before = verified(lines[:2]).upto
    assert verified(lines[2:], "", before).broken == 0
    assert verified(lines[2:], "", Head(2, "00" * 32)).broken == 3
    with pytest.raises(UsageError, match="head that was kept is of record 1, and the trail begins with record 3"):
        verified(lines[2:], "", Head(1, before.hash))
    assert verified(lines, kept=genesis("installation")).broken == 0
    assert verified(lines, kept=genesis("another")).broken == 1


@pytest.fixture
def shorter(lines):
    """A trail without its first two records, and one that tells of it."""

    def make(upto=2, link=None):
        head, kept = genesis("installation"), []
        for number in range(5):
            entry = appended(head, Act(number, ANNA, "mode_opened", "mode", "oauth", {}))
            head = end_of(entry)
            kept.append(entry)
        told = shortened(1, Head(upto, kept[1].hash if link is None else link), 90, "f.jsonl", 7)
        return [jsonl(entry) for entry in (*kept[2:], appended(head, told))]

    return make


def test_a_trail_says_itself_that_its_front_was_removed(verified, shorter):
    found = verified(shorter())
    assert (found.broken, found.upto.number) == (0, 6)
    begun = found.beginning
    assert (begun.after.number, begun.record, begun.by, begun.at, begun.file) == (2, 6, "keyfast", 7, "f.jsonl")
    assert verified(shorter(), kept=begun.after).broken == 0
    assert verified(shorter(), "").beginning is None


@pytest.mark.parametrize(
    ("how", "drop", "broken"),
    [
        ({}, 1, (1, "missing")),
        ({"upto": 1}, 0, (1, "missing")),
        ({"link": "00" * 32}, 0, (3, "changed")),
        ({"link": "nonsense"}, 0, (3, "changed")),
    ],
)
def test_and_it_has_to_fit(verified, shorter, how, drop, broken):
    found = verified(shorter(**how)[drop:])
    assert (found.broken, found.fault) == broken


@pytest.mark.parametrize(("content", "fault"), [([], "no record"), ([b"{}"], "line 1"), ([b"\xff"], "line 1")])
def test_what_is_no_export_is_refused(verified, content, fault):
    with pytest.raises(UsageError, match=fault):
        verified(content)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        verified_file(tmp_path / "none", "", None)
