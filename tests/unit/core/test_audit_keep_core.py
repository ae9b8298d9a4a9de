"""What is old at the front of the audit trail, and what the record says that tells of its removal."""

import pytest

from keyfast.core.audit import Act, Actor, Head, Via, appended, end_of
from keyfast.core.audit_actions import ACTIONS, SHORTENED
from keyfast.core.audit_keep import DAY, Start, cutoff, old_upto, said, shortened, told_by

START = Head(4, "ab" * 32)


def entries(*times):
    head, found = START, []
    for at in times:
        found.append(appended(head, Act(at, Actor("anna", Via.HTTPS), "keys_exported", "installation", "", {})))
        head = end_of(found[-1])
    return found


@pytest.mark.parametrize(
    ("times", "number"),
    [((), 4), ((100,), 4), ((99,), 5), ((1, 2, 99, 100), 7), ((1, 100, 2), 5), ((100, 1), 4), ((1, 2, 3), 7)],
)
def test_old_are_those_at_the_front(times, number):
    found = entries(*times)
    end = old_upto(START, found, 100)
    assert end.number == number
    assert end == (START if number == START.number else end_of(found[number - START.number - 1]))


@pytest.mark.parametrize(
    ("now", "days", "moment"), [(100 * DAY, 90, 10 * DAY), (101 * DAY - 1, 90, 10 * DAY), (101 * DAY, 90, 11 * DAY)]
)
def test_a_day_is_old_as_a_whole(now, days, moment):
    assert cutoff(now, days) == moment


@pytest.mark.parametrize("file", ["", "f.jsonl"])
def test_the_record_tells_what_was_removed(file):
    act = shortened(1, START, 90, file, 7)
    entry = appended(START, act)
    assert set(act.detail) <= set(ACTIONS[SHORTENED].fields)
    assert ("file" in act.detail) is bool(file)
    assert told_by(entry) == START


@pytest.mark.parametrize(
    ("action", "detail"),
    [("keys_exported", {"upto": "4", "hash": "x"}), (SHORTENED, {}), (SHORTENED, {"upto": "-4", "hash": "x"})],
)
def test_other_records_do_not(action, detail):
    assert told_by(appended(START, Act(7, Actor("keyfast", Via.SERVER), action, "trail", "", detail))) is None


def test_what_is_sealed_is_all_of_a_beginning():
    starts = [Start(Head(1, "a"), 2), Start(Head(2, "a"), 2), Start(Head(1, "b"), 2), Start(Head(1, "a"), 3)]
    assert len({said(start) for start in starts}) == 4
