import itertools

import pytest

from keyfast.core import endpoint
from keyfast.core.endpoint import TABLE, EndpointEvent, EndpointState
from keyfast.errors import TransitionError

CELLS = list(itertools.product(EndpointState, EndpointEvent))


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_every_cell_is_either_listed_or_raises(state, event):
    if (state, event) in TABLE:
        assert endpoint.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=f"endpoint in state '{state}' cannot be '{event}'"):
            endpoint.step(state, event)


def test_every_state_is_reachable_from_a_first_state():
    reached = {EndpointState.PENDING, EndpointState.REGISTERED}
    while True:
        more = {after for (before, _), after in TABLE.items() if before in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(EndpointState)


def test_no_state_is_a_dead_end():
    assert {before for before, _ in TABLE} == set(EndpointState)


def test_only_an_administrator_ends_an_identity():
    ends = {event for (_, event), after in TABLE.items() if after is EndpointState.REVOKED}
    assert ends == {EndpointEvent.REVOKED}


def test_suspicion_of_a_clone_does_not_stop_check_ins():
    assert EndpointState.CLONE_SUSPECT in endpoint.WORKING
