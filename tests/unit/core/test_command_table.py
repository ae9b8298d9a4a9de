import itertools

import pytest

from keyfast.core import command
from keyfast.core.command import TABLE, CommandEvent, CommandState
from keyfast.errors import TransitionError

ENDS = {CommandState.VERIFIED, CommandState.SUPERSEDED}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(CommandState, CommandEvent)))
def test_every_cell_is_either_listed_or_raises(state, event):
    if (state, event) in TABLE:
        assert command.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=f"command in state '{state}' cannot be '{event}'"):
            command.step(state, event)


def test_an_end_is_an_end():
    assert not ENDS & {state for state, _ in TABLE}


def test_every_command_that_was_not_fetched_can_expire():
    assert command.from_states(CommandEvent.EXPIRED) >= command.WAITING


def test_what_failed_is_only_ever_released_again_or_waived():
    for state in (CommandState.FAILED, CommandState.EXPIRED, CommandState.REVERTED):
        assert {event for found, event in TABLE if found is state} == {CommandEvent.RELEASED, CommandEvent.WAIVED}


def test_what_an_endpoint_fetched_before_a_pause_or_a_waiver_still_counts():
    for told in (CommandEvent.RECEIVED, CommandEvent.PROVEN, CommandEvent.APPLIED):
        assert {CommandState.PLANNED, CommandState.WAIVED} <= command.from_states(told)


def test_a_result_is_only_taken_for_a_command_that_was_offered():
    assert CommandState.QUEUED not in command.from_states(CommandEvent.APPLIED)


@pytest.mark.parametrize("state", command.AGAIN)
def test_giving_a_change_again_is_a_way_through_the_table(state):
    waived = state is CommandState.WAIVED
    assert command.offered_again(state) is (state if waived else CommandState.OFFERED)


def test_what_an_endpoint_keeps_or_will_never_fetch_is_not_given_again():
    assert set(CommandState) - set(command.AGAIN) == ENDS


@pytest.mark.parametrize("restart_proof", [False, True])
@pytest.mark.parametrize("other", [None, *CommandState])
def test_what_an_endpoint_uses_already_counts_unless_another_change_may_come_or_a_restart_is_to_be_seen(
    other, restart_proof
):
    counts = {CommandState.VERIFIED: CommandState.VERIFIED}
    if not restart_proof:
        counts |= {None: CommandState.APPLIED, CommandState.APPLIED: CommandState.APPLIED}
    assert command.credited(other, restart_proof=restart_proof) is counts.get(other)
