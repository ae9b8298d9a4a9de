"""Which group explains a silence, and when it began: made fleets, and the silences that are none."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.roll_call import EVERYBODY, OTHERS, STEP, Explained, Group, Kind, Line, RollCall
from keyfast.core.silence import Known, better, explain, onset

NOW = 1_800_000_000
INTERVAL = 900
HOUR = 3600


class Machine:
    """An endpoint that checks in each quarter of an hour until a time."""

    def __init__(self, number, chance, **more):
        self.number, self.more, self.chance = number, more, chance
        self.until = NOW

    def line(self, now):
        """Its record, as its last check-in before ``until`` left it."""
        seen = min(self.until, now) - self.chance.random() * INTERVAL
        return Line(
            f"pc-{self.number}", int(seen), int(seen + INTERVAL * (0.9 + 0.2 * self.chance.random())), **self.more
        )


def fleet(seed=1, each=20):
    """Two accounts, two sites, two rings, crossed."""
    chance = random.Random(seed)  # noqa: S311 - a fleet that repeats itself
    return [
        Machine(
            number,
            chance,
            account=f"CORP\\{'ab'[number % 2]}",
            generation=1,
            package=f"p{number % 2}",
            address=f"192.0.{number // 2 % 2}.9",
            ring=f"r{number // 4 % 2}",
            mode="windows",
            profile_seq=1,
        )
        for number in range(4 * each)
    ]


def judged(machines, now=NOW, explained=(), **known):
    call = RollCall(now, [Explained(key, 0) for key in explained])
    call.count(machine.line(now) for machine in machines)
    return explain(call.groups, Known(now, INTERVAL, **known))


def silenced(machines, at, **like):
    for machine in machines:
        if all(machine.more[name] == value for name, value in like.items()):
            machine.until = at
    return machines


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("like", "key"),
    [
        ({"account": "CORP\\a"}, (Kind.CREDENTIAL, "CORP\\a #1")),
        ({"address": "192.0.1.9"}, (Kind.SITE, "192.0.1.0/24")),
        ({"ring": "r1"}, (Kind.RING, "r1")),
        ({}, EVERYBODY),
    ],
)
def test_what_the_silent_have_in_common_is_named_and_when_it_began(seed, like, key):
    at = NOW - HOUR
    found = judged(silenced(fleet(seed), at, **like))
    assert found is not None
    assert found.key == key
    assert abs(found.onset.at - at) <= found.onset.width_s


def test_nobody_is_silent():
    assert judged(fleet()) is None
    assert judged([]) is None


def test_one_of_two_causes_is_named_then_the_other():
    machines = silenced(silenced(fleet(), NOW - HOUR, account="CORP\\a"), NOW - HOUR, ring="r1")
    first = judged(machines)
    assert first is not None
    second = judged(machines, explained=(first.key,), under_way={first.key})
    assert second is not None
    assert {first.key, second.key} == {(Kind.CREDENTIAL, "CORP\\a #1"), (Kind.RING, "r1")}
    both = (first.key, second.key)
    assert judged(machines, explained=both, under_way=set(both)) is None


def counted(lines, *keys):
    call = RollCall(NOW, [Explained(key, 0) for key in keys])
    call.count(lines)
    return call.groups


def better_than(young, machines, *old):
    lines = [machine.line(NOW) for machine in machines]
    under_way = {*young, *old}
    return better(young, counted(lines, *young, *old), counted(lines, *old), Known(NOW, INTERVAL, under_way=under_way))


PACKAGE, SITE, RING = (Kind.PACKAGE, "p0"), (Kind.SITE, "192.0.1.0/24"), (Kind.RING, "r1")


@pytest.mark.parametrize("seed", range(20))
def test_what_a_few_had_in_common_gives_way_to_what_all_have(seed):
    silent = silenced(fleet(seed), NOW - HOUR, address="192.0.1.9")
    # Only those of one package were known to be silent; then all of the site are.
    machines = [m for m in silent if m.more["address"] == "192.0.1.9" or m.more["package"] == "p1"]
    assert better_than([PACKAGE], machines).key == SITE
    assert better_than([PACKAGE, (Kind.CREDENTIAL, "CORP\\b #1")], machines).key == SITE


def test_a_name_that_explains_about_as_well_stays():
    machines = silenced(fleet(), NOW - HOUR, account="CORP\\a")
    # The credential would be named first; the package holds the same endpoints.
    assert judged(machines).key[0] is Kind.CREDENTIAL
    assert better_than([PACKAGE], machines) is None


def test_another_cause_does_not_take_the_name():
    machines = silenced(silenced(fleet(), NOW - HOUR, ring="r1"), NOW - HOUR, account="CORP\\a")
    for first, second in ((RING, (Kind.CREDENTIAL, "CORP\\a #1")), ((Kind.CREDENTIAL, "CORP\\a #1"), RING)):
        assert better_than([first], machines) is None
        assert judged(machines, explained=(first,), under_way={first}).key == second


def test_what_is_not_young_keeps_its_name_and_what_it_explains():
    machines = silenced(fleet(), NOW - HOUR, address="192.0.1.9")
    assert better_than([RING], machines, SITE) is None


def test_a_young_incident_of_which_nobody_is_silent_any_more_is_left_alone():
    machines = silenced(fleet(), NOW - HOUR, address="192.0.1.9")
    assert better_than([(Kind.RING, "none")], machines) is None


@pytest.mark.parametrize("seed", range(20))
def test_people_who_go_home_are_no_incident(seed):
    machines = fleet(seed)
    for number, machine in enumerate(machines):
        if number % 5:  # some stay
            machine.until = NOW - 10 * HOUR + number * 300
    assert judged(machines) is None


def test_the_last_to_go_home_together_are_none_either():
    machines = fleet()
    for number, machine in enumerate(machines):
        machine.until = NOW - 10 * HOUR + number * 300 if number < 76 else NOW - HOUR
    assert judged(machines) is None


def test_holidays_are_over_a_week_old():
    assert judged(silenced(fleet(), NOW - 30 * 24 * HOUR, account="CORP\\a")) is None


def test_a_new_silence_is_found_beside_an_old_one():
    machines = fleet(each=40)
    for machine in machines[:50]:
        machine.until = NOW - 30 * 24 * HOUR
    found = judged(silenced(machines[50:], NOW - HOUR, account="CORP\\b") + machines[:50])
    assert found is not None
    assert found.key == (Kind.CREDENTIAL, "CORP\\b #1")
    assert abs(found.onset.at - (NOW - HOUR)) <= found.onset.width_s


def test_what_is_usual_at_this_hour_is_none():
    machines = silenced(fleet(), NOW - HOUR, account="CORP\\a")
    usual = {(Kind.CREDENTIAL, "CORP\\a #1"): 0.9, (Kind.PACKAGE, "p0"): 0.9, EVERYBODY: 0.45}
    assert judged(machines, usual=usual) is None


def test_a_slow_silence_is_one_if_what_they_hold_is_refused():
    machines = fleet()
    for number, machine in enumerate(machines):
        if machine.more["account"] == "CORP\\a":  # tickets are good for ten hours
            machine.until = NOW - 10 * HOUR + number * 450
    assert judged(machines) is None
    key = (Kind.CREDENTIAL, "CORP\\a #1")
    found = judged(machines, refused={key})
    assert found is not None
    assert (found.key, found.refused) == (key, True)


def test_a_whole_fleet_of_one_kind_is_named_by_what_is_refused():
    machines = silenced([m for m in fleet() if m.more["account"] == "CORP\\a"], NOW - HOUR)
    assert judged(machines).key == EVERYBODY
    key = (Kind.CREDENTIAL, "CORP\\a #1")
    assert judged(machines, refused={key}).key == key


def test_what_was_ended_does_not_open_again():
    machines = silenced(fleet(), NOW - HOUR)
    over = dict.fromkeys([EVERYBODY], NOW - 600)
    assert judged(machines, over=over) is None
    assert judged(machines, over=dict.fromkeys([EVERYBODY], NOW - 2 * HOUR)) is not None


def test_what_did_not_fit_and_former_refusals_are_never_named():
    call = RollCall(NOW, most=2)
    machines = silenced(fleet(), NOW - HOUR, account="CORP\\a")
    call.count(msgspec.structs.replace(machine.line(NOW), refusal=machine.more["account"]) for machine in machines)
    found = explain(call.groups, Known(NOW, INTERVAL))
    assert found is None or found.key[1] != OTHERS
    assert found is None or found.key[0] is not Kind.REFUSAL


def test_two_are_no_fleet():
    assert judged(silenced(fleet()[:2], NOW - HOUR)) is None


def test_long_silences_have_no_beginning():
    group = Group(10, 3, missed={NOW // STEP - 5000: 3})
    assert onset(group, NOW, INTERVAL) is None


@given(
    st.dictionaries(st.integers(NOW // STEP - 2015, NOW // STEP), st.integers(1, 30), max_size=40),
    st.integers(0, 100),
    st.integers(1, 86_400),
)
def test_a_beginning_lies_among_what_was_missed(missed, heard, interval_s):
    silent = sum(missed.values())
    found = onset(Group(silent + heard, silent, missed=missed), NOW, interval_s)
    if found is not None:
        assert found.at // STEP in missed
        assert 1 <= found.count <= silent
        assert 0 < found.sudden <= 1
        assert found.width_s >= STEP


@given(
    st.randoms(use_true_random=False), st.floats(0, 1), st.sampled_from([{}, {"ring": "r1"}, {"account": "CORP\\a"}])
)
def test_what_is_named_is_silent_and_others_are_not(chance, share, like):
    machines = fleet(chance.randrange(1000), each=5)
    for machine in machines:
        if chance.random() < share and all(machine.more[name] == value for name, value in like.items()):
            machine.until = NOW - HOUR
    call = RollCall(NOW)
    call.count(machine.line(NOW) for machine in machines)
    found = explain(call.groups, Known(NOW, INTERVAL))
    if found is None:
        return
    group, every = call.groups[found.key], call.groups[EVERYBODY]
    assert group.silent >= 3
    assert group.silent / group.endpoints >= 0.25
    if found.key != EVERYBODY:
        rest = every.endpoints - group.endpoints
        assert rest > 0
        assert group.silent / group.endpoints - (every.silent - group.silent) / rest >= 0.25
    assert NOW - 2 * HOUR < found.onset.at <= NOW
