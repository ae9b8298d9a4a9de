import pytest
from msgspec.structs import replace

from keyfast.core import check_in
from keyfast.core.check_in import Accepted, Fork, Grant, Report, Standing
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import Refusal, RefusalClass

A, B, C, D = (bytes([n]) * 32 for n in range(1, 5))
INVENTORY = b"\x09" * 32

STANDING = Standing(state=EndpointState.ACTIVE, seq=10, head=A, inventory_digest=INVENTORY, tokens_from=100)


def report(**changes):
    base = Report(seq=11, digest=B, acked=A, inventory_digest=INVENTORY, inventory_enclosed=False, token_issued_at=100)
    return replace(base, **changes)


def accepted(standing, a_report):
    verdict = check_in.judge(standing, a_report)
    assert isinstance(verdict, Accepted), verdict
    return verdict


def refused(standing, a_report):
    verdict = check_in.judge(standing, a_report)
    assert isinstance(verdict, Refusal), verdict
    return verdict


def test_the_next_number_is_accepted_and_becomes_the_head():
    verdict = accepted(STANDING, report())
    assert (verdict.standing.seq, verdict.standing.head) == (11, B)
    assert verdict.fork is None
    assert not verdict.send_inventory
    assert not verdict.inventory_changed


def test_a_gap_left_by_lost_answers_is_accepted():
    assert accepted(STANDING, report(seq=500)).standing.seq == 500


@pytest.mark.parametrize("seq", [1, 9, 10])
def test_a_number_used_before_is_refused_and_the_next_one_named(seq):
    refusal = refused(STANDING, report(seq=seq))
    assert refusal.kind is RefusalClass.REPLAYED
    assert refusal.extra == {"expected_seq": 11}


def test_no_record_is_an_unknown_device():
    assert refused(None, report()).kind is RefusalClass.UNKNOWN_DEVICE


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (EndpointState.PENDING, RefusalClass.PENDING),
        (EndpointState.REGISTERED, RefusalClass.TOKEN_EXPIRED),
        (EndpointState.REVOKED, RefusalClass.REVOKED),
    ],
)
def test_a_record_that_does_not_work_is_refused_with_its_class(state, kind):
    assert refused(replace(STANDING, state=state), report()).kind is kind


def test_a_farewell_retires_once_and_the_next_check_in_brings_back():
    gone = accepted(STANDING, report(farewell=True)).standing
    assert gone.state is EndpointState.RETIRED
    again = accepted(gone, report(seq=12, farewell=True)).standing
    assert again.state is EndpointState.RETIRED
    assert accepted(again, report(seq=13)).standing.state is EndpointState.ACTIVE


def test_a_farewell_that_comes_late_retires_nobody():
    back = accepted(accepted(STANDING, report(farewell=True)).standing, report(seq=12)).standing
    assert refused(back, report(farewell=True)).kind is RefusalClass.REPLAYED


def test_which_of_two_copies_said_farewell_nobody_knows():
    suspect = replace(STANDING, state=EndpointState.CLONE_SUSPECT)
    assert accepted(suspect, report(farewell=True)).standing.state is EndpointState.CLONE_SUSPECT


def test_a_clone_of_an_endpoint_that_left_is_a_suspect_all_the_same():
    gone = replace(STANDING, state=EndpointState.RETIRED, displaced=C)
    assert accepted(gone, report(acked=C)).standing.state is EndpointState.CLONE_SUSPECT


def test_a_revoked_token_is_refused_but_one_issued_later_works():
    assert refused(STANDING, report(token_issued_at=99)).kind is RefusalClass.TOKEN_EXPIRED
    assert accepted(STANDING, report(token_issued_at=100))


def test_an_unknown_inventory_is_asked_for_and_an_enclosed_one_recorded():
    asked = accepted(STANDING, report(inventory_digest=C))
    assert asked.send_inventory
    assert asked.standing.inventory_digest == INVENTORY
    sent = accepted(STANDING, report(inventory_digest=C, inventory_enclosed=True))
    assert sent.inventory_changed
    assert not sent.send_inventory
    assert sent.standing.inventory_digest == C


def test_sending_a_known_inventory_again_is_no_change():
    assert not accepted(STANDING, report(inventory_enclosed=True)).inventory_changed


def test_using_a_grant_forks_the_history_and_remembers_the_displaced_head():
    verdict = accepted(STANDING, report(acked=C, grant=Grant(11)))
    assert verdict.fork is Fork.ROLLED_BACK
    assert verdict.standing.displaced == A
    assert verdict.standing.state is EndpointState.ACTIVE


def test_a_grant_for_another_head_is_only_a_nonce():
    assert accepted(STANDING, report(grant=Grant(9))).fork is None


def test_a_grant_before_the_first_check_in_forks_nothing():
    fresh = Standing(state=EndpointState.ACTIVE)
    assert accepted(fresh, report(seq=1, acked=b"", grant=Grant(1), token_issued_at=0)).fork is None


def test_two_copies_are_told_from_a_rolled_back_image_by_the_branch_that_comes_back():
    forked = accepted(STANDING, report(digest=B, acked=C, grant=Grant(11))).standing
    back = accepted(forked, report(seq=12, digest=D, acked=A, grant=Grant(12)))
    assert back.fork is Fork.CLONE
    assert back.standing.state is EndpointState.CLONE_SUSPECT
    assert back.standing.displaced == B
    other = accepted(back.standing, report(seq=13, digest=C, acked=B, grant=Grant(13)))
    assert other.fork is Fork.CLONE
    assert other.standing.state is EndpointState.CLONE_SUSPECT


def test_the_displaced_branch_is_recognised_even_when_its_number_is_ahead():
    forked = accepted(STANDING, report(digest=B, acked=C, grant=Grant(11))).standing
    assert accepted(forked, report(seq=40, digest=D, acked=A)).fork is Fork.CLONE


def test_an_image_restored_twice_is_no_clone():
    first = accepted(STANDING, report(digest=B, acked=C, grant=Grant(11))).standing
    went_on = accepted(first, report(seq=12, digest=D, acked=B)).standing
    again = accepted(went_on, report(seq=13, digest=C, acked=C, grant=Grant(13)))
    assert again.fork is Fork.ROLLED_BACK
    assert again.standing.state is EndpointState.ACTIVE


def test_a_lost_answer_after_a_fork_is_no_clone():
    forked = accepted(STANDING, report(digest=B, acked=C, grant=Grant(11))).standing
    assert accepted(forked, report(seq=12, digest=D, acked=C)).fork is None


def test_a_suspect_keeps_checking_in():
    suspect = replace(STANDING, state=EndpointState.CLONE_SUSPECT)
    assert accepted(suspect, report()).standing.state is EndpointState.CLONE_SUSPECT
