"""The life of an incident: every cell of its table, and that it does not flap."""

import itertools
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.incident import (
    BEFORE,
    CALM,
    ENDED,
    FALLING,
    MOST_POINTS,
    TABLE,
    Incident,
    IncidentEvent,
    IncidentState,
    happened,
    looked,
    opened,
    renamed,
    step,
)
from keyfast.core.roll_call import NO_END, Explained, Group, Kind
from keyfast.core.silence import Onset, Suspect
from keyfast.errors import TransitionError

NOW = 1_800_000_000
KEY = (Kind.RING, "r")
CELLS = list(itertools.product(IncidentState, IncidentEvent))


def incident(silent=50, endpoints=60, usual=0.0) -> Incident:
    group = Group(endpoints, silent, names=["pc-1"])
    return opened("id", Suspect(KEY, group, Onset(NOW - 900, 300, silent, 1.0), refused=True), usual, NOW)


def course(first, *silent, endpoints=60, usual=0.0):
    """States after each roll call."""
    found, states = incident(first, endpoints, usual), []
    for number, count in enumerate(silent, 1):
        if found.ended:
            break
        found, _ = looked(found, Group(endpoints, count), NOW + number * 300)
        states.append(found.state.value)
    return states


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_every_cell_of_the_table(state, event):
    if (state, event) in TABLE:
        assert step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError):
            step(state, event)


def test_what_has_ended_stays_so():
    assert not [cell for cell in TABLE if cell[0] in ENDED]


def test_it_is_opened_with_what_is_known():
    found = incident()
    assert found.key == KEY
    assert (found.state, found.silent, found.most, found.names) == (IncidentState.OPEN, 50, 50, ("pc-1",))
    assert [(point.at, point.silent) for point in found.course] == [(NOW - 900, 0), (NOW, 50)]
    assert found.refused
    assert not found.ended


@pytest.mark.parametrize(
    ("silent", "states"),
    [
        ((55, 60), ["open", "open"]),
        ((45, 41), ["open", "open"]),
        ((39, 20, 2, 1), ["recovering", "recovering", "recovering", "resolved"]),
        ((0, 0), ["recovering", "resolved"]),
        ((20, 29, 31), ["recovering", "recovering", "open"]),
        ((2, 30, 2, 2), ["recovering", "open", "recovering", "resolved"]),
        ((2, 4, 2, 4), ["recovering"] * 4),
    ],
)
def test_it_grows_recovers_and_ends(silent, states):
    assert course(50, *silent) == states


def test_what_was_usual_when_it_opened_is_no_part_of_it():
    assert course(50, 6, 6, usual=0.1) == ["recovering", "resolved"]
    assert course(50, 6, 6) == ["recovering", "recovering"]


def test_while_it_recovers_it_explains_no_new_silence():
    found = incident()
    assert found.explains == Explained(KEY, NOW - 900 - 300 - BEFORE, NO_END)
    found, _ = looked(found, Group(60, 10), NOW + 300)
    assert (found.state, found.explains.until) == (IncidentState.RECOVERING, NOW + 300)


def test_nobody_is_left_in_its_group():
    found, _ = looked(incident(), Group(), NOW + 300)
    found, event = looked(found, Group(), NOW + 600)
    assert (found.state, event, found.names) == (IncidentState.RESOLVED, IncidentEvent.OVER, ())


def test_it_is_given_up_with_what_is_missing():
    found = happened(incident(), IncidentEvent.GIVEN_UP, NOW + 9)
    assert (found.state, found.changed_at, found.silent) == (IncidentState.GIVEN_UP, NOW + 9, 50)


def test_it_is_young_while_it_is_open_and_not_everybody_is_known():
    found = incident()
    last = int(found.began_at + 300 + FALLING * 900 + 300)
    assert found.is_young(900, last)
    assert not found.is_young(900, last + 1)
    assert found.is_young(86_400, last + 1)
    recovering, _ = looked(found, Group(60, 10), NOW + 300)
    assert not recovering.is_young(900, NOW + 300)


def test_a_better_name_is_one_of_the_same_incident():
    found, _ = looked(incident(), Group(60, 55), NOW + 300)
    group = Group(80, 58, names=["pc-2"])
    site = Suspect((Kind.SITE, "s"), group, Onset(NOW - 1200, 300, 58, 1.0), refused=False)
    made = renamed(found, site, 0.1, NOW + 600)
    assert (made.id, made.key, made.state) == ("id", (Kind.SITE, "s"), IncidentState.OPEN)
    assert (made.opened_at, made.changed_at, made.began_at) == (NOW, NOW, NOW - 1200)
    assert (made.endpoints, made.silent, made.most, made.names) == (80, 58, 58, ("pc-2",))
    assert (made.refused, made.usual) == (False, 0.1)
    assert [point.silent for point in made.course] == [0, 50, 55, 58]


@given(st.lists(st.integers(0, 60), max_size=400), st.floats(0, 0.5))
def test_whatever_is_counted_it_does_not_flap_and_keeps_little(counts, usual):
    found, events = incident(usual=usual), []
    for number, count in enumerate(counts, 1):
        if found.ended:
            break
        before = found
        found, event = looked(found, Group(60, count), NOW + number * 300)
        assert found.most == max(before.most, count)
        assert len(found.course) <= MOST_POINTS
        assert found.course[-1].silent == count
        assert [point.at for point in found.course] == sorted(point.at for point in found.course)
        events += [event] if event else []
    # Falling and rising take turns, and an end is the last.
    assert all(one is not other for one, other in pairwise(events))
    assert IncidentEvent.OVER not in events[:-1]
    assert found.ended == (IncidentEvent.OVER in events)


@given(st.integers(3, 10_000), st.floats(0, 0.04))
def test_a_silence_that_hovers_changes_nothing(silent, noise):
    found = incident(silent, 20_000)
    for number in range(50):
        count = round(silent * (1 - noise * (number % 2)))
        found, event = looked(found, Group(20_000, count), NOW + number * 300)
        assert event is None


def test_it_can_be_kept():
    found = incident()
    assert msgspec.convert(msgspec.to_builtins(found), Incident) == found
    assert CALM > 1
