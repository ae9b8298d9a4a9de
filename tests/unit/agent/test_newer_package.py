"""A newer Windows package over an enrolled endpoint: its credential is taken over, and never an older one."""

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import MemoryDatabase, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent import transaction
from keyfast.agent.client_database import Admission, HeldChange
from keyfast.agent.install import Seeded, seed
from keyfast.agent.routes import routes
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import TrustError
from keyfast.trust.package import seal
from keyfast.wire.bundle import BundleAccount

OLD = BundleAccount("svc-see", "CORP", "first", 1, "CORP.EXAMPLE.TEST")
NEW = BundleAccount("svc-see", "CORP", "second", 2, "CORP.EXAMPLE.TEST")
REFUSED = Refusal(RefusalClass.ACCOUNT_REFUSED, "the directory says no")
OTHER = BundleAccount("svc-two", "CORP", "third", 1, "CORP.EXAMPLE.TEST")


@pytest.fixture
def server():
    fake = FakeServer()
    fake.windows(OLD, "ntlm")
    return fake


def package(server, built_at, account):
    return seal(server.keyset, replace(server.bundle(built_at), account=account))


@pytest.fixture
def enrolled(server):
    database = MemoryDatabase()
    seed(database, package(server, 1000, OLD))
    known = database.load()
    database.store(
        replace(known, admission=Admission.REGISTERED, receipt="r", endpoint_id="e", last_success_at=1, device_key="k")
    )
    return database


@pytest.mark.parametrize("account", [NEW, OTHER], ids=["same account", "other account"])
def test_a_newer_package_brings_its_credential_and_joins_again(server, enrolled, account):
    before = enrolled.load()
    assert seed(enrolled, package(server, 1001, account)) is Seeded.RENEWED
    after = enrolled.load()
    told = (after.account_name, after.account_password, after.credential_generation)
    assert told == (account.name, account.password, account.generation)
    assert after.must_join
    assert (after.device_key, after.receipt, after.endpoint_id) == (before.device_key, "r", "e")
    assert after.hold is None


@pytest.mark.parametrize("built_at", [999, 1000])
def test_an_older_package_writes_nothing_back(server, enrolled, built_at):
    before = enrolled.load()
    assert seed(enrolled, package(server, built_at, NEW)) is Seeded.KEPT
    assert enrolled.load() == before


@pytest.mark.parametrize("failures", [0, 1])
def test_an_endpoint_that_was_moved_takes_a_package_s_account_only_when_its_own_fails(server, enrolled, failures):
    watch = HeldChange("c", 1, 1, ChangeState.VERIFIED)
    enrolled.store(replace(enrolled.load(), watch=watch, failures=failures))
    expected = Seeded.RENEWED if failures else Seeded.KEPT
    assert seed(enrolled, package(server, 1001, NEW)) is expected
    assert (enrolled.load().account_password == NEW.password) is bool(failures)


def test_a_package_nobody_signed_brings_nothing(server, enrolled):
    before, other = enrolled.load(), FakeServer()
    other.windows(NEW, "ntlm")
    forged = package(other, 2000, NEW)
    for attempt in (forged, replace(forged, root=before.root, delegations=before.delegations)):
        with pytest.raises(TrustError):
            seed(enrolled, attempt)
    assert enrolled.load() == before


def test_an_oauth_endpoint_takes_no_account(server, enrolled):
    enrolled.store(replace(enrolled.load(), mode="oauth", account_name="", account_password=""))
    assert seed(enrolled, package(server, 1001, NEW)) is Seeded.KEPT


def oauth_package(server, built_at):
    server.mode, server.account = "oauth", None
    server.change_profile(server.urls)
    return server.bundle(built_at)


def test_a_newer_oauth_package_takes_a_working_endpoint_out_of_windows_mode_and_keeps_who_it_is(server, enrolled):
    before = enrolled.load()
    enrolled.store(replace(before, watch=HeldChange("c", 1, 1, ChangeState.VERIFIED), results=(), seq=7))
    bundle = oauth_package(server, 1001)
    assert seed(enrolled, bundle) is Seeded.MIGRATED
    after = enrolled.load()
    assert (after.mode, after.slots.current, after.statement) == (Mode.OAUTH, bundle.profile, bundle.statement)
    assert (after.device_key, after.receipt, after.endpoint_id, after.seq) == ("k", "r", "e", 7)
    assert (after.previous_mode, after.previous_account.password) == (Mode.WINDOWS, OLD.password)
    assert (after.watch.state, after.results, after.account) == (ChangeState.COMMITTED, (), None)
    assert seed(enrolled, bundle) is Seeded.KEPT, "a repair"
    assert enrolled.load() == after


def test_an_older_oauth_package_moves_nobody(server, enrolled):
    before = enrolled.load()
    assert seed(enrolled, oauth_package(server, 1000)) is Seeded.KEPT
    assert enrolled.load() == before


def test_an_oauth_package_whose_move_failed_is_tried_again_when_it_is_installed_again(server, enrolled):
    bundle = oauth_package(server, 1001)
    seed(enrolled, bundle)
    lost = transaction.visit_failed(enrolled.load(), "closed", "mode_closed")
    assert (lost.mode, lost.account_password) == (Mode.WINDOWS, OLD.password)
    enrolled.store(lost)
    assert seed(enrolled, bundle) is Seeded.MIGRATED


def test_a_repair_never_undoes_what_the_server_moved(server, enrolled):
    bundle = oauth_package(server, 1001)
    seed(enrolled, bundle)
    moved = replace(
        enrolled.load(), mode=Mode.WINDOWS, account_password="x", watch=HeldChange("c", 2, 1, ChangeState.VERIFIED)
    )
    enrolled.store(moved)
    assert seed(enrolled, bundle) is Seeded.KEPT
    assert enrolled.load() == moved


def test_where_a_newer_package_names_other_servers_they_are_one_more_way(server, enrolled):
    server.change_profile(("https://new.example.com",))
    assert seed(enrolled, package(server, 999, OLD)) is Seeded.KEPT
    assert seed(enrolled, package(server, 1001, OLD)) is Seeded.RENEWED
    ways = [way.url for way in routes(enrolled.load())]
    assert ways == ["https://kf.example.com", "https://new.example.com"]


def test_one_that_comes_back_from_a_failed_move_does_not_join_with_the_other_mode_s_token(server, enrolled):
    seed(enrolled, oauth_package(server, 1001))
    assert enrolled.load().must_join
    lost = transaction.visit_failed(enrolled.load(), "void", "enrolment_expired", joining=True)
    assert (lost.mode, lost.must_join) == (Mode.WINDOWS, False)


def test_a_windows_package_without_an_account_is_refused(server):
    with pytest.raises(TrustError):
        seed(MemoryDatabase(), replace(server.bundle(), account=None))


async def test_a_newer_package_brings_its_account_to_an_endpoint_that_never_enrolled_and_to_no_other():
    server = FakeServer().windows(OLD, "basic")
    rig = rig_for(server)
    server.check_account = lambda user, password: None if password == NEW.password else REFUSED
    assert await rig.visit() >= 6 * 3600
    newer = seal(server.keyset, replace(server.bundle(), account=NEW))
    assert seed(rig.database, newer) is Seeded.RENEWED
    rig.restart()
    await rig.visit()
    assert server.logons == [(1, "basic"), (2, "basic")]
    assert rig.agent.record.failures == 0
    before = rig.database.content
    assert seed(rig.database, server.bundle()) is Seeded.KEPT
    assert rig.database.content == before
