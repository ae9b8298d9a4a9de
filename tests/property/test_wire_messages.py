import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.wire import messages
from keyfast.wire.messages import CheckIn, Encryption, Inventory, Protection, Volume

UUID = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"
GOOD = {"seq": 1, "boot_id": UUID, "instance": UUID, "agent_version": "1", "inventory_digest": "A" * 43}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_message_or_a_decode_error(body):
    try:
        messages.decode_check_in(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return


@given(st.sampled_from([*CheckIn.__struct_fields__, "unknown"]), json_values)
def test_any_value_in_any_member_is_accepted_as_declared_or_refused(name, value):
    body = json.dumps({**GOOD, name: value}).encode("utf-8", "surrogatepass")
    try:
        message = messages.decode_check_in(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert messages.decode_check_in(messages.encode(message)) == message


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"seq": 0},
        {"seq": -1},
        {"seq": 2**53},
        {"seq": "1"},
        {"seq": 1.5},
        {"boot_id": "x"},
        {"boot_id": UUID.upper()},
        {"boot_id": UUID + "\n"},
        {"clock": 2**41},
        {"verified_age_s": [-1]},
        {"verified_age_s": [0] * 257},
        {"agent_version": "v" * 129},
        {"inventory_digest": "A" * 44},
        {"inventory_digest": "B" * 43},
        {"acked": "B" * 43},
        {"inventory": {"hostname": "", "os": ""}},
        {"results": [{"id": UUID, "state": "invented"}]},
        {"last_refusal": "x" * 65},
    ],
)
def test_absurd_values_are_refused(change):
    with pytest.raises(msgspec.DecodeError):
        messages.decode_check_in(json.dumps({**GOOD, **change}).encode())


def test_the_good_one_is_accepted():
    assert messages.decode_check_in(json.dumps(GOOD).encode()).seq == 1


volumes = st.builds(
    Volume,
    id=st.text(max_size=20),
    encryption=st.sampled_from(Encryption),
    protection=st.sampled_from(Protection),
    mount=st.text(max_size=20),
    percent=st.none() | st.floats(min_value=0, max_value=100) | st.integers(min_value=0, max_value=100),
    protectors=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    size=st.integers(min_value=0, max_value=2**62),
)
inventories = st.builds(
    Inventory,
    hostname=st.text(min_size=1, max_size=20),
    os=st.text(max_size=20),
    volumes=st.lists(volumes, max_size=3).map(tuple),
)


@given(inventories)
def test_an_inventory_survives_the_wire_byte_for_byte(inventory):
    encoded = messages.inventory_bytes(inventory)
    again = msgspec.json.decode(encoded, type=Inventory)
    assert again == inventory
    assert messages.inventory_bytes(again) == encoded
