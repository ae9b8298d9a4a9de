"""An exported trail is verified without a server."""

import pytest

from keyfast.cli.audit_file import verified_file
from keyfast.core.audit import Act, Actor, Head, Via, appended, end_of, genesis
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


@pytest.mark.parametrize(("content", "fault"), [([], "no record"), ([b"{}"], "line 1"), ([b"\xff"], "line 1")])
def test_what_is_no_export_is_refused(verified, content, fault):
    with pytest.raises(UsageError, match=fault):
        verified(content)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        verified_file(tmp_path / "none", "", None)
