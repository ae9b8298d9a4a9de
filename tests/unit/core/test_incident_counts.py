"""Counts for incidents: one count while none is young, and a second without what the young ones explain."""

from keyfast.core.incident import opened
from keyfast.core.incident_counts import Counts
from keyfast.core.roll_call import Group, Kind, Line
from keyfast.core.silence import Onset, Suspect

NOW = 1_800_000_000
KEY = (Kind.RING, "r")
INTERVAL = 900


def counts(began_at):
    group = Group(3, 3)
    found = opened("id", Suspect(KEY, group, Onset(began_at, 300, 3, 1.0), refused=False), 0.0, NOW - 300)
    made = Counts(NOW, [found], INTERVAL)
    made.count([Line(f"pc-{number}", began_at - INTERVAL, began_at, ring="r") for number in range(3)])
    return made


def test_what_a_young_incident_explains_is_counted_afresh_too():
    made = counts(NOW - 2 * INTERVAL)
    assert made.young == {"id"}
    assert (made.all.groups[KEY].explained, made.afresh.groups[KEY].explained) == (3, 0)
    assert made.afresh.groups[KEY].silent == 3


def test_nothing_is_counted_twice_where_none_is_young():
    made = counts(NOW - 10 * INTERVAL)
    assert made.young == set()
    assert made.afresh is made.all
    assert (made.all.groups[KEY].silent, made.all.groups[KEY].explained) == (3, 3)
