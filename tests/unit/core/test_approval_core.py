"""A second person: who may decide, what may be done by it, and for how long."""

from itertools import product

import pytest
from msgspec.structs import replace
from tests.support.databases import NOW

from keyfast.core import approval
from keyfast.core.approval import (
    ASKED_SECONDS,
    GIVEN_SECONDS,
    TABLE,
    Approval,
    ApprovalEvent,
    ApprovalState,
    decision_fault,
    is_over,
    use_fault,
)
from keyfast.core.caller import LOCAL, Caller, WayIn
from keyfast.core.person import Person
from keyfast.core.role import Permission, Role
from keyfast.errors import TransitionError

P = Permission
ASKED = Approval("id", NOW, "alice", P.WINDOW_OPEN, "POST /x", "because")
GIVEN = replace(ASKED, state=ApprovalState.GIVEN, decided_at=NOW, decided_by="bob")
ALICE = Caller(Person("1", "alice", Role.OPERATOR), WayIn.SESSION)
BOB = Caller(Person("2", "bob", Role.OPERATOR), WayIn.TOKEN, frozenset({P.WINDOW_OPEN}))
HUGO = Caller(Person("3", "hugo", Role.HELPDESK), WayIn.SESSION)


@pytest.mark.parametrize(("state", "event"), [*product(ApprovalState, ApprovalEvent)])
def test_every_cell_of_an_approvals_life(state, event):
    if (state, event) in TABLE:
        assert approval.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError):
            approval.step(state, event)


def test_what_is_denied_or_used_stays_so():
    assert {state for state, _ in TABLE} == {ApprovalState.ASKED, ApprovalState.GIVEN}


@pytest.mark.parametrize(
    ("decider", "may"),
    [
        (ALICE, False),
        (replace(ALICE, via=WayIn.TOKEN), False),
        (BOB, True),
        (replace(BOB, scopes=frozenset()), False),
        (HUGO, False),
        (LOCAL, True),
    ],
)
def test_who_may_decide(decider, may):
    assert (decision_fault(ASKED, decider, NOW) is None) == may


@pytest.mark.parametrize(
    ("found", "age", "over"),
    [
        (ASKED, -1, True),
        (ASKED, 0, False),
        (ASKED, ASKED_SECONDS - 1, False),
        (ASKED, ASKED_SECONDS, True),
        (GIVEN, -1, True),
        (GIVEN, GIVEN_SECONDS - 1, False),
        (GIVEN, GIVEN_SECONDS, True),
    ],
)
def test_how_long_it_counts(found, age, over):
    assert is_over(found, NOW + age) == over
    assert (decision_fault(found, BOB, NOW + age) is not None) == over


@pytest.mark.parametrize("state", ApprovalState)
def test_only_what_was_given_is_used(state):
    found = replace(GIVEN, state=state)
    assert (use_fault(found, ALICE, P.WINDOW_OPEN, same=True, now=NOW) is None) == (state is ApprovalState.GIVEN)


def test_only_by_the_one_who_asked_for_that_and_in_time():
    assert use_fault(GIVEN, ALICE, P.WINDOW_OPEN, same=True, now=NOW + GIVEN_SECONDS)
    assert use_fault(GIVEN, ALICE, P.WINDOW_OPEN, same=False, now=NOW)
    assert use_fault(GIVEN, ALICE, P.MODE_CHANGE, same=True, now=NOW)
    assert use_fault(GIVEN, BOB, P.WINDOW_OPEN, same=True, now=NOW)
