import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.simulation.habits import DAY, HOUR, SETTLED, Calendar, Habit, calendar

MONDAY = 4 * DAY  # 1970-01-05


def test_a_desktop_is_always_in_reach():
    assert Calendar(Habit.DESKTOP, 9, 17).next_in_reach(MONDAY + 5.5) == MONDAY + 5.5


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (MONDAY + 10 * HOUR, MONDAY + 10 * HOUR),
        (MONDAY + 3 * HOUR, MONDAY + 9 * HOUR),
        (MONDAY + 18 * HOUR, MONDAY + DAY + 9 * HOUR),
        (MONDAY + 4 * DAY + 18 * HOUR, MONDAY + 7 * DAY + 9 * HOUR),  # Friday evening
        (MONDAY + 6 * DAY + 10 * HOUR, MONDAY + 7 * DAY + 9 * HOUR),  # Sunday
    ],
)
def test_a_laptop_is_in_reach_in_office_hours(at, expected):
    assert Calendar(Habit.LAPTOP, 9, 17).next_in_reach(at) == expected


def test_who_is_away_is_out_of_reach_until_the_next_office_hour():
    away = ((MONDAY, MONDAY + DAY + 20 * HOUR),)
    assert Calendar(Habit.TRAVELLER, 9, 17, away).next_in_reach(MONDAY + 10 * HOUR) == MONDAY + 2 * DAY + 9 * HOUR


@given(st.integers(0, 5000), st.integers(0, 90 * DAY))
def test_everybody_comes_back(number, offset):
    found = calendar(number, MONDAY, 90, 1)
    reached = found.next_in_reach(MONDAY + offset)
    assert reached >= MONDAY + offset
    assert found.next_in_reach(reached) == reached
    assert all(start >= MONDAY + SETTLED for start, _ in found.away)


def test_a_fleet_has_every_habit_and_is_the_same_every_time():
    drawn = [calendar(number, MONDAY, 90, 1) for number in range(400)]
    assert {found.habit for found in drawn} == set(Habit)
    assert drawn == [calendar(number, MONDAY, 90, 1) for number in range(400)]
    assert drawn != [calendar(number, MONDAY, 90, 2) for number in range(400)]
