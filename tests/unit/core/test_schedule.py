import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core import schedule

chances = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(st.floats(min_value=1, max_value=1e6), chances)
def test_the_next_check_in_lies_within_the_spread(interval, chance):
    wait = schedule.next_check_in(interval, chance)
    assert max(1, interval * 0.9 - 1) <= wait <= interval * 1.1 + 1


@pytest.mark.parametrize(("failures", "whole"), [(1, 30), (2, 60), (3, 120), (8, 3600), (9, 3600), (10**6, 3600)])
def test_back_off_doubles_up_to_the_cap(failures, whole):
    assert schedule.backoff(failures, 0) == whole / 2
    assert schedule.backoff(failures, 0.999999) == pytest.approx(whole, rel=1e-3)


@given(st.integers(min_value=1, max_value=10**9), chances)
def test_back_off_never_exceeds_the_cap_and_never_gives_up(failures, chance):
    assert 0 < schedule.backoff(failures, chance) <= schedule.BACKOFF_CAP


def test_jitter_is_applied_after_the_cap():
    assert schedule.backoff(50, 0.1) != schedule.backoff(50, 0.9)


@given(st.floats(min_value=0, max_value=1e6), chances)
def test_retry_after_is_never_shortened(asked, chance):
    assert asked <= schedule.retry_after(asked, chance) <= asked * 1.25


@pytest.mark.parametrize(
    ("seen_at", "next_due", "now", "silent"),
    [(0, 0, 10**9, False), (100, 200, 200, False), (100, 200, 300, False), (100, 200, 301, True)],
)
def test_silence_begins_after_one_missed_check_in(seen_at, next_due, now, silent):
    assert schedule.is_silent(seen_at, next_due, now) is silent
