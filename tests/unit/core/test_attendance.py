"""Which hours and days an endpoint was heard in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.attendance import DAY, HOUR, KEPT, Mark, marked, marks

T = 1_790_000_000 // DAY * DAY


def heard(visits, now, step=HOUR, since=0):
    """What is shown after check-ins at these moments, by moment; only what is known."""
    bits, last = 0, 0
    for visit in visits:
        bits, last = marked(bits, last, visit, step), visit
    return {mark.at: mark.heard for mark in marks(bits, last, now, step, since) if mark.heard is not None}


@pytest.mark.parametrize(
    ("visits", "there"),
    [
        ([T], {T}),
        ([T, T + 60, T + 3599], {T}),
        ([T, T + HOUR], {T, T + HOUR}),
        ([T, T + 5 * HOUR + 7], {T, T + 5 * HOUR}),
        ([T + HOUR, T], {T}),
        ([T, T + 2 * HOUR, T + HOUR], {T, T + HOUR}),
    ],
    ids=["one", "same hour", "next hour", "a gap", "a clock behind", "a clock behind keeps what was before"],
)
def test_an_hour_is_marked_once_it_was_there(visits, there):
    shown = heard(visits, T + 6 * HOUR)
    assert {at for at, was in shown.items() if was} == there


def test_nothing_is_said_of_the_time_before_it_was_known():
    assert heard([T + HOUR], T + 2 * HOUR, since=T + HOUR) == {T + HOUR: True, T + 2 * HOUR: False}
    assert marks(0, 0, T, HOUR, T)[-1] == Mark(T, heard=False)
    assert marks(0, 0, T, HOUR, T)[-2] == Mark(T - HOUR, heard=None)


def test_a_node_whose_clock_is_ahead_hides_what_its_own_last_mark_pushed_out():
    shown = marks(marked(0, 0, T + 100 * HOUR, HOUR), T + 100 * HOUR, T, HOUR, 0)
    assert all(mark.heard is not True for mark in shown)
    assert shown[0].heard is None


@given(st.lists(st.integers(T, T + 200 * DAY), min_size=1, max_size=30).map(sorted), st.sampled_from([HOUR, DAY]))
def test_it_says_what_a_full_record_would(visits, step):
    now = visits[-1]
    shown = heard(visits, now, step)
    assert len(shown) == KEPT
    assert {at for at, was in shown.items() if was} == {visit // step * step for visit in visits} & set(shown)
    bits = 0
    for last, visit in zip([0, *visits], visits, strict=False):
        bits = marked(bits, last, visit, step)
        assert 0 < bits < 2**63
