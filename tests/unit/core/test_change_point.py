"""When a rate changed: the point is found, noise is not, and a series of many parts stays within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.diagnosis.change_point import Segment, fall, rise, segments

DAY = 48


def test_one_rate_is_one_part():
    assert segments([3] * DAY, [10] * DAY) == (Segment(0, DAY, 3 * DAY, 10 * DAY),)


@pytest.mark.parametrize("at", [5, DAY // 2, DAY - 5])
def test_the_step_at_which_it_rises_is_found_exactly(at):
    parts = segments([0] * at + [10] * (DAY - at), [10] * DAY)
    assert rise(parts) == Segment(at, DAY, 10 * (DAY - at), 10 * (DAY - at))
    assert fall(parts) is None


def test_a_fall_is_no_rise():
    parts = segments([10] * DAY + [0] * DAY, [10] * 2 * DAY)
    assert fall(parts) == Segment(DAY, 2 * DAY, 0, 10 * DAY)
    assert rise(parts) is None


def test_parts_whose_rates_hardly_differ_are_told_as_one():
    """The likelihood sees the step from 100 to 150; a person is not woken for it."""
    parts = segments([100] * DAY + [150] * DAY, [1000] * 2 * DAY)
    assert parts == (Segment(0, 2 * DAY, 250 * DAY, 2000 * DAY),)


def test_a_night_without_requests_is_no_change():
    exposures = ([20] * 16 + [0] * 8) * 4
    assert len(segments([each // 2 for each in exposures], exposures)) == 1


def test_nothing_is_no_part_that_changed():
    assert [part.rate for part in segments([], [])] == [0.0]
    assert rise(segments([], [])) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=200))
def test_parts_cover_the_series_without_gap_and_keep_its_sums(steps):
    events = [min(pair) for pair in steps]
    exposures = [max(pair) for pair in steps]
    parts = segments(events, exposures)
    assert [part.begin for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == len(steps)
    assert sum(part.events for part in parts) == sum(events)
    assert sum(part.exposure for part in parts) == sum(exposures)
