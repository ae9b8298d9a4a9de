"""Which ways lead out of a broken account, in which order, and how many endpoints each brings back."""

import itertools

import pytest
from msgspec.structs import replace

from keyfast.core.account import AccountCondition
from keyfast.core.way_out import UNUSABLE, Need, Situation, Way, is_broken, is_shut, opens_window, sends_change, ways

BROKEN = Situation("CORP\\svc", AccountCondition.CHANGED, {1: 90, 2: 10}, 0)


def found(situation):
    return {out.way: out for out in ways(situation)}


def order(situation):
    return [out.way for out in ways(situation) if out.available]


def test_nothing_is_broken_when_everybody_holds_what_works():
    sound = Situation("CORP\\svc", AccountCondition.HEALTHY, {2: 10}, 2)
    assert not is_broken(sound)
    assert ways(sound) == ()
    assert not is_broken(Situation("CORP\\svc", AccountCondition.CHANGED, {}, 0))


def test_a_changed_password_is_mended_without_opening_anything():
    assert order(BROKEN) == [Way.DEVICE_KEY, Way.RESTORE, Way.ACCOUNT, Way.OAUTH, Way.WINDOW, Way.PACKAGE]
    told = found(BROKEN)
    assert told[Way.DEVICE_KEY].endpoints == 100
    assert told[Way.DEVICE_KEY].needs == (Need.PASSWORD,)
    assert told[Way.RESTORE].endpoints == 90
    assert "generation 1 again" in told[Way.RESTORE].sentence
    assert told[Way.WINDOW].needs == (Need.PASSWORD, Need.WINDOW)
    assert told[Way.ACCOUNT].needs == (Need.ACCOUNT, Need.PASSWORD)
    assert told[Way.OAUTH].needs == ()


def test_once_a_new_password_is_on_record_it_is_not_asked_for():
    known = replace(BROKEN, proven=3)
    assert found(known)[Way.DEVICE_KEY].needs == ()
    assert found(known)[Way.WINDOW].needs == (Need.WINDOW,)
    assert found(known)[Way.PACKAGE].needs == ()


def test_restoring_strands_those_that_hold_the_new_password():
    told = found(replace(BROKEN, proven=2))
    assert told[Way.DEVICE_KEY].endpoints == 90
    assert told[Way.RESTORE].endpoints == 90
    assert "10 endpoints that hold generation 2 are refused" in told[Way.RESTORE].sentence


def test_where_device_keys_need_a_window():
    closed = replace(BROKEN, always=False, proven=3, others=("CORP\\b",))
    assert order(closed) == [Way.RESTORE, Way.WINDOW, Way.ACCOUNT, Way.OAUTH, Way.PACKAGE]
    told = found(closed)
    assert told[Way.ACCOUNT].needs == (Need.ACCOUNT, Need.WINDOW)
    assert "CORP\\b" in told[Way.ACCOUNT].sentence
    assert told[Way.OAUTH].needs == (Need.WINDOW,)
    assert "through a recovery window" in told[Way.OAUTH].sentence
    assert "take window" in told[Way.DEVICE_KEY].sentence


@pytest.mark.parametrize("condition", sorted(UNUSABLE - {AccountCondition.MISSING}))
def test_an_account_that_takes_no_password_is_mended_first(condition):
    locked = replace(BROKEN, condition=condition, proven=1)
    assert locked.stranded == 100
    assert order(locked) == [Way.RESTORE, Way.ACCOUNT, Way.OAUTH]
    told = found(locked)
    assert told[Way.RESTORE].endpoints == 90
    assert condition in told[Way.RESTORE].sentence
    for way in (Way.DEVICE_KEY, Way.WINDOW, Way.PACKAGE):
        assert "no password of CORP\\svc is taken" in told[way].sentence


def test_a_missing_account_is_left():
    gone = replace(BROKEN, condition=AccountCondition.MISSING, oauth=False)
    assert order(gone) == [Way.ACCOUNT]
    assert "keyfast mode open oauth" in found(gone)[Way.OAUTH].sentence


@pytest.mark.parametrize(
    ("condition", "holders", "proven", "always", "oauth"),
    list(itertools.product(AccountCondition, ({}, {1: 1}, {1: 2, 2: 3}), (0, 1, 2), (True, False), (True, False))),
)
def test_whatever_is_broken_has_a_way_out_and_no_way_brings_back_more_than_there_are(
    condition, holders, proven, always, oauth
):
    situation = Situation("CORP\\svc", condition, holders, proven, always, (), oauth)
    outs = ways(situation)
    assert bool(outs) is is_broken(situation)
    if outs:
        assert {out.way for out in outs} == set(Way)
        assert any(out.available for out in outs)
        assert [out.available for out in outs] == sorted((out.available for out in outs), reverse=True)
        for out in outs:
            assert 0 <= out.endpoints <= situation.endpoints
            assert out.available is (out.endpoints > 0)
            assert out.sentence


def test_one_endpoint_is_said_in_the_singular():
    told = found(replace(BROKEN, holders={1: 1}))
    assert told[Way.DEVICE_KEY].sentence.startswith("1 endpoint proves its device key and fetches the password")
    assert told[Way.RESTORE].sentence.endswith("1 endpoint comes back by itself")
    assert told[Way.WINDOW].sentence.endswith(
        "1 endpoint fetches the password that works, even if it lost its device key"
    )
    assert told[Way.ACCOUNT].sentence == "1 endpoint moves to another account"
    assert told[Way.OAUTH].sentence == "1 endpoint moves to OAuth and holds no password any more"
    assert told[Way.PACKAGE].sentence.endswith("over 1 endpoint: somebody must reach it")
    pair = found(replace(BROKEN, holders={1: 1, 2: 1}, proven=2))[Way.RESTORE]
    assert pair.sentence.endswith("and 1 endpoint that holds generation 2 is refused then")


def test_without_a_window_nobody_comes_back_where_device_keys_need_one():
    assert is_shut(1, always=False, window_open=False)
    assert not is_shut(0, always=False, window_open=False)
    assert not is_shut(1, always=True, window_open=False)
    assert not is_shut(1, always=False, window_open=True)


def test_what_a_way_takes():
    assert [way for way in Way if opens_window(way, always=True)] == [Way.WINDOW]
    assert [way for way in Way if opens_window(way, always=False)] == [Way.WINDOW, Way.ACCOUNT, Way.OAUTH]
    assert [way for way in Way if not sends_change(way)] == [Way.RESTORE, Way.PACKAGE]
