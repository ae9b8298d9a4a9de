"""What a package puts into an empty client database, and into one that is not."""

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import MemoryDatabase, Rig, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent.client_database import Record, Slots
from keyfast.agent.install import Seeded, seed
from keyfast.errors import ClientDatabaseError, ForeignError, TrustError


def test_a_bundle_that_does_not_hold_seeds_nothing():
    server, other = FakeServer(), FakeServer()
    bundle = server.bundle()
    database = MemoryDatabase()
    for broken in (
        replace(bundle, root=other.bundle().root),
        replace(bundle, profile=other.profile),
        replace(bundle, seal=""),
        replace(bundle, package="another"),
        replace(bundle, seal=other.bundle().seal),
        replace(bundle, root="x"),
    ):
        with pytest.raises(TrustError):
            seed(database, broken)
    assert database.load() is None


async def test_a_second_install_never_overwrites():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    before = rig.database.content
    assert seed(rig.database, server.bundle()) is Seeded.KEPT
    assert rig.database.content == before


def test_a_newer_package_renews_only_the_token_of_an_endpoint_that_never_enrolled():
    server = FakeServer()
    rig = rig_for(server)
    newer = server.bundle(server.now + 1)
    assert seed(rig.database, newer) is Seeded.RENEWED
    record = rig.database.load()
    assert record is not None
    assert record.statement == newer.statement
    assert record.slots == rig.agent.record.slots


def test_a_package_of_another_installation_is_refused():
    server = FakeServer()
    database = MemoryDatabase(Record("another", "{}", (), Slots("f", "c")))
    before = database.content
    with pytest.raises(ForeignError):
        seed(database, server.bundle())
    assert database.content == before


def test_an_agent_without_a_package_says_what_to_do():
    with pytest.raises(ClientDatabaseError) as caught:
        Rig(FakeServer(), MemoryDatabase())
    assert caught.value.repair.startswith("keyfast-agent install")
