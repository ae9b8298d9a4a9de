"""Which group counts, whose account a name means, what ends somebody's time here: each rule in full."""

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.databases import NOW

from keyfast.core.directory import AccountReading
from keyfast.core.person_groups import DomainNames, GroupRole, Loss, Member, former_name, loss, strongest
from keyfast.core.role import Role, permissions
from keyfast.core.throttle import DIRECTORY_REST, DIRECTORY_TRIES, NONE, Failures, rest, shown_again

R = Role
NAMES = DomainNames("CORP", "CORP.EXAMPLE.COM")

RANKED = [
    (R.ADMINISTRATOR, ()),
    (R.OPERATOR, ()),
    (R.ADMINISTRATOR, ("a", "b")),
    (R.ADMINISTRATOR, ("a",)),
    (R.OPERATOR, ("a", "b", "c")),
    (R.OPERATOR, ("a",)),
    (R.AUDITOR, ()),
    (R.HELPDESK, ()),
    (R.HELPDESK, ("a",)),
    (R.AUDITOR, ("a", "b")),
    (R.AUDITOR, ("a",)),
]
"""What gives the most, first. A new permission may change this; then so does what people are."""


def group(number, what):
    return GroupRole(f"group {number}", *what)


@pytest.mark.parametrize(
    ("more", "less"), [(RANKED[i], RANKED[j]) for i, j in product(range(len(RANKED)), repeat=2) if i < j]
)
def test_the_group_that_gives_the_most_counts_wherever_it_stands(more, less):
    for order in permutations([group(1, more), group(2, less)]):
        assert strongest(order, {"group 1", "group 2"}) == group(1, more)
        assert strongest(order, {"group 2"}) == group(2, less)


def test_of_equal_ones_the_first_counts():
    twins = [GroupRole("x", R.OPERATOR, ("a",)), GroupRole("y", R.OPERATOR, ("b",))]
    assert strongest(twins, {"x", "y"}).name == "x"
    assert strongest(twins[::-1], {"x", "y"}).name == "y"
    assert strongest([GroupRole("x", R.OPERATOR, ("a", "a")), *twins], {"x", "y"}).rings == ("a", "a")


@pytest.mark.parametrize("held", [set(), {"another"}, {"GROUP 1"}])
def test_a_member_of_none_is_nobody(held):
    assert strongest([group(1, RANKED[0])], held) is None
    assert strongest([], {"group 1"}) is None


@given(
    st.lists(st.builds(GroupRole, st.uuids().map(str), st.sampled_from(R), st.sampled_from([(), ("a",), ("a", "b")])))
)
def test_no_group_that_gives_more_of_everything_is_passed_over(groups):
    chosen = strongest(groups, {group.name for group in groups})
    assert (chosen is None) == (not groups)
    for other in groups:
        mine, theirs = (permissions(g.role, ringed=bool(g.rings)) for g in (chosen, other))
        assert not mine < theirs
        wider = not other.rings or (set(other.rings) > set(chosen.rings) and chosen.rings)
        assert not (mine == theirs and chosen.rings and wider)


@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("CORP\\alice", "alice"),
        (" corp\\Alice ", "Alice"),
        ("alice@CORP.EXAMPLE.COM", "alice"),
        ("alice@corp.example.com", "alice"),
        ("alice@corp", "alice"),
        ("OTHER\\alice", None),
        ("\\alice", None),
        ("CORP\\", None),
        ("alice@other.example.com", None),
        ("@corp", None),
        ("alice@", None),
        ("alice", None),
        ("", None),
        ("a@b@corp", "a@b"),
        ("alice@corp.example.com~1105", None),
    ],
)
def test_whose_account_a_name_means(typed, account):
    assert NAMES.account_of(typed) == account


def test_a_person_is_called_as_they_may_sign_in():
    assert NAMES.person_of("Alice") == "alice@corp.example.com"
    assert DomainNames("CORP").person_of("Alice") == "alice@corp"
    assert NAMES.account_of(NAMES.person_of("Alice")) == "alice"
    assert DomainNames("CORP").account_of("alice@") is None
    assert NAMES.account_of(former_name(NAMES.person_of("Alice"), "S-1-5-21-1-2-3-1105")) is None


@pytest.mark.parametrize(
    ("reading", "in_a_group", "expected"),
    [
        ({}, True, None),
        ({}, False, Loss.NO_GROUP),
        ({"exists": False}, True, Loss.MISSING),
        ({"exists": False}, False, Loss.MISSING),
        ({"disabled": True}, True, Loss.DISABLED),
        ({"expires_at": NOW}, True, Loss.EXPIRED),
        ({"expires_at": NOW + 1}, True, None),
        ({"locked": True}, True, None),
        ({"password_expired": True}, True, None),
        ({"must_change": True}, True, None),
    ],
)
def test_what_ends_somebodys_time_here(reading, in_a_group, expected):
    member = Member(AccountReading("dc1", NOW, **{"exists": True} | reading), "S-1")
    assert loss(member, group(1, RANKED[0]) if in_a_group else None, NOW) is expected


@pytest.mark.parametrize(
    ("shown", "now", "expected"),
    [
        (NONE, NOW, 0),
        (Failures(DIRECTORY_TRIES - 1, NOW), NOW, 0),
        (Failures(DIRECTORY_TRIES, NOW), NOW, DIRECTORY_REST),
        (Failures(DIRECTORY_TRIES, NOW), NOW + DIRECTORY_REST - 1, 1),
        (Failures(DIRECTORY_TRIES, NOW), NOW + DIRECTORY_REST, 0),
        (Failures(DIRECTORY_TRIES, NOW + 9999), NOW, DIRECTORY_REST),
    ],
)
def test_how_long_the_directory_is_shown_nothing(shown, now, expected):
    assert rest(shown, now) == expected


@given(st.lists(st.integers(0, 2 * DIRECTORY_REST), max_size=60))
def test_no_row_of_wrong_passwords_is_longer_than_it_may_be(pauses):
    """As a domain counts: what it was shown, until it was shown none for as long as it remembers (at most our rest)."""
    shown, now, theirs, last = NONE, NOW, 0, 0
    for pause in pauses:
        now += pause
        if rest(shown, now):
            continue
        shown = shown_again(shown, now)
        theirs = 1 if now >= last + DIRECTORY_REST else theirs + 1
        last = now
        assert theirs <= DIRECTORY_TRIES
