"""The endpoint's transaction: every cell of its table, and every rule at its edges."""

import itertools

import pytest

from keyfast.core import change
from keyfast.core.change import (
    ACCESS_REFUSED,
    ENDED_BADLY,
    EPOCH_LEAP,
    GOOD_CHECK_INS,
    MISSED_VISITS,
    NOT_THE_ACCESS,
    PROBE_TRIES,
    RESTART_AFTER,
    TABLE,
    WAITING,
    ChangeEvent,
    ChangeState,
)
from keyfast.errors import TransitionError


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ChangeState, ChangeEvent)))
def test_every_cell_is_either_listed_or_raises(state, event):
    if (state, event) in TABLE:
        assert change.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=f"change of the web access server in state '{state}'"):
            change.step(state, event)


def test_nothing_is_committed_that_was_not_proven():
    assert {state for (state, _), after in TABLE.items() if after is ChangeState.COMMITTED} == {
        ChangeState.PROVEN,
        ChangeState.COMMITTED,
    }
    assert {after for (state, _), after in TABLE.items() if state is ChangeState.VERIFIED} == set()
    assert {state for state, event in TABLE if event is ChangeEvent.STAGED_AGAIN} == ENDED_BADLY
    assert {state for state, event in TABLE if event is ChangeEvent.SUPERSEDED} == WAITING


@pytest.mark.parametrize(
    ("told", "own", "held", "expected"),
    [
        ((1, 5), (1, 4), None, True),
        ((2, 1), (1, 9), None, True),
        ((1, 5), (1, 5), None, False),
        ((1, 4), (1, 5), None, False),
        ((1, 9), (2, 1), None, False),
        ((1, 5), (1, 5), (1, 5), True),
        ((1, 5), (1, 8), (1, 5), True),
        ((1, 4), (1, 5), (1, 5), False),
        ((1, 5), (2, 0), (1, 5), False),
    ],
)
def test_order_of_changes(told, own, held, expected):
    assert change.takes(told, own, held) is expected


@pytest.mark.parametrize(
    ("told", "own", "expected"),
    [((1, 3), (1, 3), True), ((1, 4), (1, 3), True), ((2, 1), (1, 3), True), ((1, 2), (1, 3), False)],
)
def test_order_of_profiles(told, own, expected):
    assert change.keeps_order(told, own) is expected


@pytest.mark.parametrize(
    ("own", "told", "expected"),
    [(1, 2, 2), (2, 2, 2), (3, 2, 3), (1, 1 + EPOCH_LEAP, 1 + EPOCH_LEAP), (1, 2 + EPOCH_LEAP, 1), (1, -5, 1)],
)
def test_an_epoch_never_goes_back_and_never_jumps_out_of_reach(own, told, expected):
    assert change.heard_epoch(own, told) == expected


def test_a_probe_is_tried_a_few_times_and_a_refused_access_once():
    events = [change.after_probe(tries) for tries in range(1, PROBE_TRIES + 1)]
    assert events == [ChangeEvent.PROBE_FAILED] * (PROBE_TRIES - 1) + [ChangeEvent.GAVE_UP]
    assert change.after_probe(1, "not_ready") is ChangeEvent.PROBE_FAILED
    assert {change.after_probe(1, kind) for kind in ACCESS_REFUSED} == {ChangeEvent.GAVE_UP}
    waits = [change.probe_wait(tries, 0.999) for tries in range(1, PROBE_TRIES)]
    assert waits == sorted(waits)
    assert waits[0] > 0


def test_a_watch_is_over_after_good_check_ins_and_a_restart():
    for good, restarted in itertools.product(range(1, GOOD_CHECK_INS + 2), (False, True)):
        over = change.after_check_in(good, restarted=restarted) is ChangeEvent.VERIFIED
        assert over is (good >= GOOD_CHECK_INS and restarted)


def test_the_restart_that_is_missing_comes_after_a_while_that_differs_between_endpoints():
    waits = [change.restart_wait(chance) for chance in (0.0, 0.5, 0.999)]
    assert waits == sorted(waits)
    assert waits[0] == RESTART_AFTER < waits[-1] < 2 * RESTART_AFTER


def test_a_change_is_lost_after_some_failed_visits_or_one_refused_access():
    events = [change.after_failed_visit(missed) for missed in range(1, MISSED_VISITS + 1)]
    assert events == [ChangeEvent.MISSED] * (MISSED_VISITS - 1) + [ChangeEvent.LOST]
    assert change.after_failed_visit(1, "account_refused") is ChangeEvent.LOST
    assert change.after_failed_visit(1, "unauthenticated") is ChangeEvent.MISSED
    assert change.is_about_access("")
    assert change.is_about_access("account_refused", same_servers=True)
    assert not change.is_about_access("", same_servers=True)
    assert not any(change.is_about_access(kind) for kind in NOT_THE_ACCESS)
    assert not ACCESS_REFUSED & NOT_THE_ACCESS


def test_only_what_has_worked_is_kept_as_the_way_back_and_only_a_verified_change_lets_it_go():
    assert change.has_worked(None, 0)
    assert change.has_worked(ChangeState.REVERTED, 0)
    assert change.has_worked(ChangeState.COMMITTED, GOOD_CHECK_INS)
    assert not change.has_worked(ChangeState.COMMITTED, GOOD_CHECK_INS - 1)
    assert [state for state in (None, *ChangeState) if change.may_erase(state)] == [ChangeState.VERIFIED]
