import itertools

import pytest

from keyfast.core import generation
from keyfast.core.generation import TABLE, GenerationEvent, GenerationState
from keyfast.errors import TransitionError

S, E = GenerationState, GenerationEvent


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_cell_is_either_listed_or_raises(state, event):
    if (state, event) in TABLE:
        assert generation.step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=f"credential generation in state '{state}' cannot be '{event}'"):
            generation.step(state, event)


@pytest.mark.parametrize("state", S)
def test_a_password_set_anew_puts_every_generation_in_question(state):
    assert generation.step(state, E.PASSWORD_SET) is S.IN_QUESTION


@pytest.mark.parametrize("state", S)
def test_a_restored_password_brings_every_generation_back(state):
    assert generation.step(generation.step(state, E.PASSWORD_SET), E.PROVED) is S.PROVEN


def test_what_is_proven_is_not_refused_before_the_directory_says_that_something_changed():
    assert (S.PROVEN, E.DENIED) not in TABLE
