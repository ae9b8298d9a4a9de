"""The roll call counts everybody once in each of its groups, in bounded memory; what is usual is learnt."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core import roll_call, usual
from keyfast.core.roll_call import EVERYBODY, OTHERS, STEP, Explained, Kind, Line, RollCall, site_of

NOW = 1_800_000_000
I = 900  # noqa: E741 - the interval


def line(name="pc", silent=False, **more):
    at = NOW - 3 * I if silent else NOW - 10
    return Line(name, at, at + I, **more)


def counted(*lines, explained=(), most=roll_call.MOST_GROUPS):
    call = RollCall(NOW, explained, most)
    call.count(lines)
    return call.groups


def test_an_endpoint_is_counted_in_every_group_it_belongs_to():
    full = line(
        silent=True,
        package="p",
        account="CORP\\a",
        generation=3,
        mode="windows",
        ring="first",
        profile_seq=2,
        address="192.0.2.7",
        version="1",
        refusal="pending",
    )
    found = counted(full)
    assert dict(list(found)) == {
        Kind.CREDENTIAL: "CORP\\a #3",
        Kind.PROFILE: "2",
        Kind.PACKAGE: "p",
        Kind.MODE: "windows",
        Kind.SITE: "192.0.2.0/24",
        Kind.RING: "first",
        Kind.VERSION: "1",
        Kind.REFUSAL: "pending",
        Kind.EVERYBODY: "",
    }
    assert {(group.endpoints, group.silent, tuple(group.names)) for group in found.values()} == {(1, 1, ("pc",))}
    assert found[EVERYBODY].missed == {(NOW - 2 * I) // STEP: 1}


def test_what_an_endpoint_does_not_say_makes_no_group():
    assert set(counted(line())) == {EVERYBODY}


def test_one_that_never_checked_in_is_not_silent():
    every = counted(Line("new", 0, 0))[EVERYBODY]
    assert (every.endpoints, every.silent, every.never) == (1, 0, 1)


def test_a_silence_that_is_explained_explains_nothing_else():
    culprit = (Kind.MODE, "windows")
    found = counted(
        line(silent=True, mode="windows", ring="r"),
        line(silent=True, mode="oauth", ring="r"),
        explained=(Explained(culprit, 0),),
    )
    ring, own = found[Kind.RING, "r"], found[culprit]
    assert (ring.silent, ring.unexplained, ring.judged) == (2, 1, 1)
    assert (own.silent, own.unexplained, own.own, own.elsewhere) == (1, 0, 1, 0)
    assert sum(ring.missed.values()) == 1


def test_the_newest_incident_that_had_begun_explains():
    one, other = (Kind.MODE, "windows"), (Kind.RING, "r")
    found = counted(
        line(silent=True, mode="windows", ring="r"),
        explained=(Explained(one, 5), Explained(other, 6), Explained(EVERYBODY, NOW)),
    )
    assert (found[one].own, found[other].own, found[one].elsewhere, found[EVERYBODY].own) == (0, 1, 1, 0)


def test_who_falls_silent_after_an_incident_began_to_recover_has_another_cause():
    recovering = Explained(EVERYBODY, 0, NOW - 10 * I)
    old = Line("old", NOW - 20 * I, NOW - 19 * I, ring="r")
    found = counted(old, line(silent=True, ring="r"), explained=(recovering,))
    assert (found[Kind.RING, "r"].silent, found[Kind.RING, "r"].explained) == (2, 1)


def test_groups_names_and_steps_are_bounded():
    lines = [line(f"pc-{n}", silent=True, ring=f"r{n}", address=f"10.0.{n}.1") for n in range(50)]
    ancient = Line("old", 1, 1 + I)
    found = counted(*lines, ancient, most=20)
    kinds = {kind for kind, _ in found}
    assert len(found) <= 20 + len(kinds)
    assert sum(group.endpoints for (kind, _), group in found.items() if kind is Kind.RING) == 50
    assert found[Kind.RING, OTHERS].endpoints > 1
    assert len(found[EVERYBODY].names) == roll_call.MOST_NAMES
    assert min(found[EVERYBODY].missed) == NOW // STEP - roll_call.HORIZON_STEPS


def test_the_group_of_an_incident_is_kept_however_many_others_there_are():
    lines = [line(f"pc-{n}", silent=True, ring=f"r{n}") for n in range(50)]
    key = (Kind.RING, "r49")
    assert key not in counted(*lines, most=20)
    assert counted(*lines, explained=(Explained(key, 0),), most=20)[key].own == 1


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2", ""),
        ("\N{ARABIC-INDIC DIGIT ONE}.2.3.4", ""),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_a_site_is_a_subnet(address, site):
    assert site_of(address) == site


def test_a_credential_is_named_and_read_back():
    name = roll_call.credential_name("CORP\\a #b", 7)
    assert roll_call.credential_of(name) == ("CORP\\a #b", 7)
    assert roll_call.credential_name("", 0) == ""


LINES = st.builds(
    Line,
    name=st.just("pc"),
    seen_at=st.integers(0, NOW),
    next_due=st.integers(0, NOW + I),
    ring=st.sampled_from(["", "a", "b"]),
    mode=st.sampled_from(["oauth", "windows"]),
)


@given(
    st.lists(LINES),
    st.sampled_from([(), (Explained((Kind.RING, "a"), 0, NOW - I),), (Explained(EVERYBODY, NOW - 5 * I),)]),
)
def test_the_parts_add_up(lines, explained):
    found = counted(*lines, explained=explained)
    modes = [group for (kind, _), group in found.items() if kind is Kind.MODE]
    every = found[EVERYBODY]
    assert every.endpoints == len(lines) == sum(group.endpoints for group in modes)
    assert every.silent == sum(group.silent for group in modes)
    for group in found.values():
        assert 0 <= group.own <= group.explained <= group.silent <= group.endpoints - group.never
        assert sum(group.missed.values()) == group.unexplained


def test_what_is_usual_is_learnt_by_hour():
    friday, saturday = 30, 54
    known = usual.learnt([], saturday, 8, 10)
    assert usual.expected(known, saturday) == 0.8
    assert usual.expected(known, saturday + 1) == 0.0
    assert usual.expected(known, friday) == 0.8, "the same hour of another day, where nothing better is known"
    shares = [usual.expected(known, saturday)]
    for _ in range(12):
        known = usual.learnt(known, saturday, 0, 10)
        shares.append(usual.expected(known, saturday))
    assert all(after < before for before, after in pairwise(shares))
    assert shares[-1] < 0.3


def test_nothing_is_learnt_from_nobody():
    assert usual.learnt((), 3, 0, 0) == [usual.UNKNOWN] * usual.HOURS
    assert usual.expected((), 3) == 0.0


def test_hours_of_the_week_go_round():
    assert usual.hour_of_week(0) == 0
    assert usual.hour_of_week(167 * 3600 + 3599) == 167
    assert usual.hour_of_week(168 * 3600) == 0
