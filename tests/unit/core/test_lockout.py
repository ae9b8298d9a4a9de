"""Lockouts for lack of contact: every machine is counted once, by the day on which it is locked."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.account import DAY
from keyfast.core.diagnosis.lockout import Day, Lockouts, lockouts

NOW = 1_800_000_000


def ago(days):
    return NOW - round(days * DAY)


def test_machines_are_locked_so_many_days_after_they_were_last_heard():
    found = lockouts({ago(40): 2, ago(29.5): 3, ago(29.25): 4, ago(27): 5}, 14, None, 30, NOW)
    assert found == Lockouts(30, 2, (Day(ago(-0.5), 7, 9), Day(ago(-3), 5, 14)), 0)
    assert found.next_at == ago(-0.5)


@pytest.mark.parametrize(("days", "locked"), [(30, 1), (30 - 1 / DAY, 0)])
def test_the_moment_itself_is_too_late(days, locked):
    assert lockouts({ago(days): 1}, 1, None, 30, NOW).locked == locked


def test_machines_of_which_nobody_knows_are_locked_at_the_latest_so_long_after_the_silence_began():
    found = lockouts({}, 7, ago(2), 30, NOW)
    assert (found.unknown, found.latest, found.next_at) == (7, ago(-28), ago(-28))
    assert lockouts({}, 7, None, 30, NOW).next_at is None


def test_where_every_machine_is_known_nothing_is_said_of_others():
    assert lockouts({ago(1): 7}, 7, ago(2), 30, NOW).latest == 0


@given(
    st.dictionaries(st.integers(ago(400), NOW), st.integers(1, 1000), max_size=50),
    st.integers(0, 1000),
    st.integers(1, 365),
)
def test_every_machine_is_counted_once_and_in_the_order_of_days(seen, others, after):
    machines = sum(seen.values()) + others
    found = lockouts(seen, machines, None, after, NOW)
    assert found.locked + sum(day.machines for day in found.days) + found.unknown == machines
    assert found.unknown == others
    totals = [found.locked, *(day.total for day in found.days)]
    assert all(before < after for before, after in itertools.pairwise(totals))
    firsts = [(day.at - NOW - 1) // DAY for day in found.days]
    assert firsts == sorted(set(firsts))
    assert all(first >= 0 for first in firsts)
