import itertools

import pytest

from keyfast.core.endpoint import EndpointState
from keyfast.core.recovery import Act, Call, Caller, judge, vouches
from keyfast.core.refusal import Refusal, RefusalClass, masked

S, C = EndpointState, RefusalClass
SIGNED = {Caller.CURRENT: Act.GIVE, Caller.SUPERSEDED: Act.GIVE, Caller.RECEIPT: Act.ADOPT, Caller.JOINING: Act.HOLD}
CELLS = list(itertools.product(Caller, (None, *S), (False, True), (False, True)))


def expected(caller, state, window, always):
    if caller is Caller.ANONYMOUS:
        return Act.GIVE if window and state in (S.ACTIVE, S.CLONE_SUSPECT) else C.UNAUTHENTICATED
    if caller is Caller.STRANGER:
        return C.UNKNOWN_DEVICE
    if state is S.REVOKED:
        return C.REVOKED
    if state is S.PENDING:
        return C.PENDING
    return SIGNED[caller] if window or always else C.WINDOW_CLOSED


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell(cell):
    told = judge(Call(*cell))
    assert (told.kind if isinstance(told, Refusal) else told) == expected(*cell)


def test_who_has_proven_nothing_is_always_answered_with_the_same_words():
    outside = {
        repr(judge(Call(Caller.ANONYMOUS, state, window=False, always=always)))
        for state in (None, *S)
        for always in (False, True)
    }
    inside = {repr(judge(Call(Caller.ANONYMOUS, state, window=True, always=True))) for state in (None, S.REVOKED)}
    assert outside == inside == {repr(masked(Refusal(C.REVOKED)))}


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("recovering", [False, True])
def test_only_keys_on_record_vouch_for_a_new_one_and_former_ones_in_a_recovery_only(caller, recovering):
    expected = caller is Caller.CURRENT or (caller is Caller.SUPERSEDED and recovering)
    assert vouches(caller, recovering=recovering) is expected
