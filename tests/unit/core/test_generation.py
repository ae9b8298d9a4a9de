import itertools

import pytest

from keyfast.core import generation
from keyfast.core.generation import GONE, TABLE, GenerationEvent, GenerationState
from keyfast.errors import TransitionError

S, E = GenerationState, GenerationEvent


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_cell_is_either_listed_or_raises(state, event):
    if (state, event) in TABLE:
        assert generation.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=f"credential generation in state '{state}' cannot be '{event}'"):
            generation.step(state, event)


IN_USE = sorted(set(S) - GONE)


@pytest.mark.parametrize("state", IN_USE)
def test_a_password_set_anew_puts_every_generation_in_use_in_question(state):
    assert generation.step(state, E.PASSWORD_SET) is S.IN_QUESTION


@pytest.mark.parametrize("state", IN_USE)
def test_a_restored_password_brings_every_generation_in_use_back(state):
    assert generation.step(generation.step(state, E.PASSWORD_SET), E.PROVED) is S.PROVEN


@pytest.mark.parametrize("state", sorted(GONE))
def test_no_password_brings_back_what_was_retired_by_decision(state):
    assert generation.step(state, E.PASSWORD_SET) is state
    assert (state, E.PROVED) not in TABLE


def test_what_was_retired_can_be_trusted_again_and_is_in_question_then():
    assert generation.step(S.RETIRED, E.RETRUSTED) is S.IN_QUESTION


@pytest.mark.parametrize("state", IN_USE)
def test_only_what_was_retired_is_destroyed_and_nothing_brings_that_back(state):
    assert (state, E.DESTROYED) not in TABLE
    assert {after for (before, _), after in TABLE.items() if before is S.DESTROYED} == {S.DESTROYED}


def test_what_is_proven_is_not_refused_before_the_directory_says_that_something_changed():
    assert (S.PROVEN, E.DENIED) not in TABLE
