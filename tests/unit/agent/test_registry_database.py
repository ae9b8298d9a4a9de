"""The client database in a registry that can die between any two writes."""

import contextlib

import pytest
from msgspec.structs import replace
from tests.support.fake_registry import Died, FakeRegistry

from keyfast.agent.client_database import Record, Slots
from keyfast.agent.registry_database import SLOTS, RegistryDatabase, mirrors
from keyfast.agent.timing import Due, Moment
from keyfast.errors import ClientDatabaseError


def record(seq: int) -> Record:
    return Record("inst", "{}", (), Slots("f", "c"), endpoint_id="e", seq=seq, device_key="SECRET")


def test_what_was_stored_is_loaded():
    registry = FakeRegistry()
    database = RegistryDatabase(registry)
    assert database.load() is None
    for seq in range(5):
        database.store(record(seq))
        assert RegistryDatabase(registry).load() == record(seq)
    database.close()


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("die_at", range(24))
def test_dying_between_any_two_writes_leaves_the_old_or_the_new_record(die_at: int, torn: bool):
    registry = FakeRegistry()
    registry.die_at, registry.torn = die_at, torn
    done = 0
    with contextlib.suppress(Died):
        for seq in range(1, 10):
            database = RegistryDatabase(registry)
            database.load()
            database.store(record(seq))
            done = seq
    assert done < 9, "it never died"
    registry.die_at = -1
    found = RegistryDatabase(registry).load()
    if done:
        assert found is not None
        assert found.seq in (done, done + 1)
    database = RegistryDatabase(registry)
    database.load()
    database.store(record(50))
    assert RegistryDatabase(registry).load() == record(50)


def test_a_refused_write_raises_and_keeps_the_old_record():
    registry = FakeRegistry()
    database = RegistryDatabase(registry)
    database.store(record(1))
    registry.refuse = True
    with pytest.raises(ClientDatabaseError):
        database.store(record(2))
    registry.refuse = False
    assert RegistryDatabase(registry).load() == record(1)
    database.store(record(3))
    assert RegistryDatabase(registry).load() == record(3)


def test_both_values_damaged_is_an_error_not_an_empty_database():
    registry = FakeRegistry()
    database = RegistryDatabase(registry)
    database.store(record(1))
    database.store(record(2))
    for name in SLOTS:
        registry.values[name] = (b"rubbish", registry.REG_BINARY)
    with pytest.raises(ClientDatabaseError, match="no intact record"):
        RegistryDatabase(registry).load()


def test_mirrors_are_for_people_and_hold_nothing_secret():
    now = Moment(wall=1_800_000_000.0, boot=1.0, boot_id="b")
    shown = mirrors(replace(record(1), last_check_in_wall=1_800_000_000, due=Due(now, 60.0), account_name="svc"))
    assert shown["AccountName"] == "svc"
    assert shown["EndpointId"] == "e"
    assert shown["InstallationId"] == "inst"
    assert shown["LastCheckIn"] == "2027-01-15T08:00:00+00:00"
    assert shown["NextCheckIn"] == "2027-01-15T08:01:00+00:00"
    assert "SECRET" not in str(shown)
    assert mirrors(record(1))["LastCheckIn"] == ""
