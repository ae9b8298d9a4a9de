"""The endpoint's side of a renewal, from one record to the next."""

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent import renewal
from keyfast.agent.client_database import (
    KEY_HISTORY,
    HeldChange,
    KeyPair,
    Record,
    Recovery,
    Renewal,
    Slots,
    decode_record,
    encode_record,
)
from keyfast.agent.timing import Due, Moment
from keyfast.core.change import ChangeState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.wire.messages import Command

NOW = Moment(0.0, 0.0, "boot")
OLD, NEW = KeyPair("old device", "old seal"), KeyPair("new device", "new seal")
RECORD = Record("inst", "root", (), Slots("f", "c"), device_key=OLD.device, seal_key=OLD.seal, token="t", receipt="r")
COMMAND = Command("inst", "11111111-2222-4333-8444-555555555555", "e", 1, 0, 10, "RenewDeviceKey")


def asked() -> Record:
    return renewal.ordered(RECORD, COMMAND, NOW)


def test_asked_made_and_taken():
    record = asked()
    assert renewal.lacks_keys(record)
    assert [result.state for result in record.results] == ["received"]
    record = renewal.made(record, NEW)
    assert renewal.made(record, OLD) == record, "what was made stays"
    assert renewal.brought_by_check_in(record) == NEW
    assert renewal.signing_keys(record) == OLD
    record = renewal.taken(record, "receipt", NOW)
    assert (record.device_key, record.seal_key, record.receipt, record.token) == (*_both(NEW), "receipt", "")
    assert record.former_keys == (OLD,)
    assert record.renewal is None
    assert [result.state for result in record.results] == ["verified"]
    assert renewal.taken(record, "other", NOW) == record


def _both(keys: KeyPair) -> tuple[str, str]:
    return keys.device, keys.seal


def test_the_same_command_again_does_nothing_more():
    done = renewal.taken(renewal.made(asked(), NEW), "receipt", NOW)
    again = renewal.ordered(replace(done, results=()), COMMAND, NOW)
    assert again.renewal is None
    assert [result.state for result in again.results] == ["verified"]


def test_another_command_uses_the_key_that_lies_there():
    other = replace(COMMAND, id="22222222-2222-4333-8444-555555555555")
    record = renewal.ordered(renewal.made(asked(), NEW), other, NOW)
    assert record.renewal == Renewal(other.id, NEW)


@pytest.mark.parametrize(
    ("change", "watch", "postponed"),
    [
        (None, None, False),
        (ChangeState.STAGED, None, True),
        (ChangeState.PROVEN, None, True),
        (ChangeState.FAILED, None, False),
        (None, ChangeState.COMMITTED, True),
        (None, ChangeState.VERIFIED, False),
        (None, ChangeState.REVERTED, False),
    ],
)
def test_a_change_in_hand_comes_first(change, watch, postponed):
    held = [state and HeldChange("id", 1, 1, state) for state in (change, watch)]
    record = replace(asked(), change=held[0], watch=held[1])
    assert renewal.lacks_keys(record) is not postponed
    record = renewal.made(record, NEW)
    assert renewal.brought_by_check_in(record) == (None if postponed else NEW)
    superseded = replace(record, recovery=Recovery("key_superseded", Due(NOW, 0.0)))
    assert renewal.brought_by_check_in(superseded) == NEW, "it cannot wait"


def test_the_other_key_is_tried_and_none_is_dropped():
    record = renewal.made(asked(), NEW)
    assert renewal.refused(record, "unknown_device", by_name=False) is None
    tried = renewal.refused(record, "key_superseded", by_name=False)
    assert renewal.signing_keys(tried) == NEW
    assert tried.token == ""
    for kind, by_name in (("unknown_device", False), ("key_superseded", False), ("unauthenticated", True)):
        back = renewal.refused(tried, kind, by_name=by_name)
        assert renewal.signing_keys(back) == OLD
        assert back.renewal.keys == NEW
    assert renewal.refused(tried, "unauthenticated", by_name=False) is None
    assert renewal.refused(tried, "account_refused", by_name=False) is None


def test_former_keys_vouch_in_turn():
    record = replace(renewal.made(asked(), NEW), key_history=("a", "b"), seal_history=("c", "d"))
    assert [renewal.vouching(record, asks) for asks in range(4)] == [NEW, KeyPair("a", "c"), KeyPair("b", "d"), NEW]
    assert renewal.vouching(RECORD, 3) is None


def test_the_history_keeps_the_last_ten():
    record = RECORD
    for number in range(12):
        keys = KeyPair(f"device {number}", f"seal {number}")
        record = renewal.taken(renewal.made(renewal.superseded(record), keys), "r", NOW)
    assert [keys.device for keys in record.former_keys] == [f"device {n}" for n in range(10, 0, -1)]
    assert len(record.key_history) == KEY_HISTORY


def test_no_key_is_in_what_is_printed():
    record = renewal.made(asked(), NEW)
    for shown in (repr(record), repr(record.renewal), repr(record.former_keys)):
        assert not any(secret in shown for secret in (*_both(OLD), *_both(NEW)))
    assert decode_record(encode_record(record)) == record


async def test_a_server_that_only_ever_says_superseded_costs_no_key():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    first = rig.agent.record
    server.say_instead = lambda _path: Refusal(RefusalClass.KEY_SUPERSEDED)
    made = set()
    for _ in range(40):
        pass_time(server, rig, await rig.visit())
        record = rig.agent.record
        assert (record.device_key, record.key_history, record.receipt) == (first.device_key, (), first.receipt)
        made |= {record.renewal.keys.device} if record.renewal else set()
    assert len(made) == 1
    server.say_instead = lambda _path: None
    pass_time(server, rig, await rig.visit())
    await rig.visit()
    assert rig.agent.record.failures == 0
