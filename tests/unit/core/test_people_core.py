"""Roles, persons, callers, sessions, the throttle and the life of a person: each table in full."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.databases import NOW

from keyfast.core import person_life, throttle
from keyfast.core.caller import FRESH, LOCAL, MAX_REASON, Caller, WayIn, denial, reason_fault, unproved
from keyfast.core.person import Person, Session, SignInRefusal
from keyfast.core.person_life import PersonEvent, PersonState
from keyfast.core.role import DANGEROUS, MEANING, PER_RING, ROLES, Permission, Role, permissions
from keyfast.core.secret import Secret
from keyfast.core.session import ABSOLUTE, IDLE, TOUCH, Standing, Times, is_noted, standing
from keyfast.core.throttle import FORGET, FREE, LONGEST, Counted, Failures, subjects, wait
from keyfast.errors import TransitionError

P = Permission
MOMENTS = st.integers(0, 2**40)


def test_the_tables_are_whole():
    assert set(ROLES) == set(Role)
    assert set(MEANING) == set(Permission)
    assert ROLES[Role.ADMINISTRATOR] == frozenset(Permission)
    assert all(P.SELF in allowed for allowed in ROLES.values())
    assert set(Permission) >= DANGEROUS | PER_RING


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMINISTRATOR}))
def test_only_administrators_change_people_keys_modes_and_settings(role):
    assert not ROLES[role] & {P.PEOPLE_CHANGE, P.KEY_ROTATE, P.KEY_MOVE, P.MODE_CHANGE, P.SETTINGS_CHANGE}


def test_an_auditor_changes_nothing():
    reads = {
        P.SELF,
        P.SELF_CHANGE,
        P.READ,
        P.ENDPOINT_READ,
        P.PACKAGE_READ,
        P.AUDIT_READ,
        P.AUDIT_EXPORT,
        P.PEOPLE_READ,
    }
    assert ROLES[Role.AUDITOR] == reads


def test_who_sees_recovery_keys():
    assert {role for role in Role if P.RECOVERY_KEY_REVEAL in ROLES[role]} == {Role.ADMINISTRATOR, Role.HELPDESK}


@pytest.mark.parametrize(("role", "permission"), [*product(Role, Permission)])
def test_rings_only_ever_take_away(role, permission):
    whole, some = Person("1", "a", role), Person("1", "a", role, ("ours",))
    assert whole.may(permission) == whole.may(permission, "theirs") == (permission in ROLES[role])
    assert some.may(permission) == some.may(permission, "ours") == (permission in ROLES[role] & PER_RING)
    assert not some.may(permission, "theirs")
    assert permissions(role, ringed=True) == some.permissions


@pytest.mark.parametrize(("role", "permission"), [*product(Role, Permission)])
def test_a_denial_says_what_is_missing(role, permission):
    caller = Caller(Person("1", "a", role), WayIn.TOKEN, frozenset(Permission))
    why = denial(caller, permission)
    assert (why is None) == (permission in ROLES[role])
    assert why is None or (permission.value in why and role.value in why)
    bare = denial(Caller(Person("1", "a", role), WayIn.TOKEN, frozenset()), permission)
    assert bare is not None


def test_a_denial_for_some_rings_says_so():
    caller = Caller(Person("1", "a", Role.ADMINISTRATOR, ("ours",)), WayIn.SOCKET)
    assert "for some rings" in denial(caller, P.KEY_ROTATE)


def test_the_socket_is_nobodys_name_and_may_everything():
    assert all(denial(LOCAL, permission) is None for permission in Permission)
    assert LOCAL.name == "local administrator"


@pytest.mark.parametrize(("via", "permission", "age"), [*product(WayIn, Permission, (-1, 0, FRESH - 1, FRESH, 10**6))])
def test_only_a_fresh_proof_counts_in_a_browser(via, permission, age):
    caller = Caller(Person("1", "a", Role.ADMINISTRATOR), via, proved_at=NOW - age)
    demanded = via is WayIn.SESSION and permission in DANGEROUS
    assert unproved(caller, permission, NOW) == (demanded and not 0 <= age < FRESH)


@pytest.mark.parametrize(
    ("reason", "good"),
    [
        ("because", True),
        ("x" * MAX_REASON, True),
        ("", False),
        ("  ", False),
        ("a\nb", False),
        ("x" * (MAX_REASON + 1), False),
    ],
)
def test_a_reason_is_a_line(reason, good):
    assert (reason_fault(reason) is None) == good


def test_a_session_shows_no_token():
    made = Session("id", Secret(b"kfs_secret"), Person("1", "a", Role.AUDITOR), NOW)
    assert "secret" not in repr(made)


def test_a_refusal_tells_nothing_but_when():
    assert SignInRefusal().sentence == "name, password or code is wrong"
    assert "900 seconds" in SignInRefusal(900).sentence


@pytest.mark.parametrize(("state", "event"), [*product(PersonState, PersonEvent)])
def test_every_cell_of_a_persons_life(state, event):
    if (state, event) in person_life.TABLE:
        assert person_life.step(state, event) is person_life.TABLE[state, event]
    else:
        with pytest.raises(TransitionError):
            person_life.step(state, event)


def test_whoever_is_off_comes_back_by_an_invitation_only():
    assert [after for (state, _), after in person_life.TABLE.items() if state is PersonState.DISABLED] == [
        PersonState.INVITED
    ]
    joins = [state for (state, event) in person_life.TABLE if event is PersonEvent.JOINED]
    assert joins == [PersonState.INVITED]


@pytest.mark.parametrize(
    ("begun", "seen", "expected"),
    [
        (0, 0, Standing.LIVE),
        (IDLE - 1, IDLE - 1, Standing.LIVE),
        (IDLE, IDLE, Standing.IDLE),
        (ABSOLUTE - 1, 0, Standing.LIVE),
        (ABSOLUTE - 1, IDLE, Standing.IDLE),
        (ABSOLUTE, 0, Standing.OVER),
        (-1, -1, Standing.OVER),
    ],
)
def test_how_a_session_stands_by_its_ages(begun, seen, expected):
    assert standing(Times(NOW - begun, NOW - seen), NOW) is expected


@given(begun=MOMENTS, seen=MOMENTS, now=MOMENTS)
def test_no_session_outlives_its_limits(begun, seen, now):
    if standing(Times(begun, seen), now) is Standing.LIVE:
        assert 0 <= now - begun < ABSOLUTE
        assert now - seen < IDLE


@given(begun=MOMENTS, seen=MOMENTS, now=MOMENTS, later=MOMENTS)
def test_a_session_that_is_over_by_age_stays_over(begun, seen, now, later):
    if now <= later and begun <= now and standing(Times(begun, seen), now) is Standing.OVER:
        assert standing(Times(begun, later), later) is Standing.OVER


def test_not_every_request_is_noted():
    assert [is_noted(Times(0, NOW), NOW + age) for age in (-1, 0, TOUCH - 1, TOUCH)] == [False, True, True, False]


COUNTS = st.builds(Failures, st.integers(0, 10**6), MOMENTS)
FOUND = st.fixed_dictionaries(dict.fromkeys(Counted, COUNTS))


@given(name=COUNTS, now=MOMENTS)
def test_an_address_without_failures_waits_for_nobody(name, now):
    assert wait({Counted.NAME: name, Counted.ADDRESS: Failures(), Counted.PAIR: Failures()}, now) == 0


@given(found=FOUND, now=MOMENTS)
def test_nobody_waits_longer_than_the_longest(found, now):
    assert 0 <= wait(found, now) <= LONGEST


@given(found=FOUND, now=MOMENTS)
def test_who_waits_gets_a_try(found, now):
    latest = max(failures.last_at for failures in found.values())
    assert wait(found, max(now, latest) + LONGEST) == 0


@given(count=st.integers(1, 40), now=st.integers(FORGET, 2**40))
def test_each_failure_makes_the_wait_no_shorter(count, now):
    def of(failures):
        return wait({Counted.ADDRESS: Failures(1, now), Counted.PAIR: Failures(failures, now)}, now)

    assert of(count) <= of(count + 1)
    assert of(FREE[Counted.PAIR]) == 0 < of(FREE[Counted.PAIR] + 1)


@given(before=COUNTS, now=MOMENTS)
def test_what_was_long_ago_is_forgotten(before, now):
    after = before.and_one(now)
    assert after.last_at == now
    assert after.count == (1 if now >= before.last_at + FORGET else before.count + 1)


def test_many_tries_of_a_day_from_one_address_are_few():
    """By the clock alone: how many guesses an address gets at a name in a day."""
    now, tries, found = NOW, 0, dict.fromkeys(Counted, Failures())
    while now < NOW + 86_400:
        pause = wait(found, now)
        now += pause
        if not pause:
            tries += 1
            found = {counted: failures.and_one(now) for counted, failures in found.items()}
    assert tries < 120


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1%eth0", "2001:db8::1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_what_one_address_is(one, other, same):
    first, second = subjects("a", one), subjects("a", other)
    assert (first == second) == same
    assert first[Counted.NAME] == second[Counted.NAME]


def test_throttle_knows_nothing_of_a_name_it_was_not_told():
    assert throttle.wait({}, NOW) == 0
