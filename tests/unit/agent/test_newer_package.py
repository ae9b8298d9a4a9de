"""A newer Windows package over an enrolled endpoint: its credential is taken over, and never an older one."""

import uuid

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import MemoryDatabase
from tests.support.fake_server import INSTALLATION, FakeServer

from keyfast.agent.client_database import Admission, HeldChange
from keyfast.agent.install import Seeded, seed
from keyfast.core.change import ChangeState
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.roles import ENROLMENT_TYP
from keyfast.wire.messages import BundleAccount

OLD = BundleAccount("svc-see", "CORP", "first", 1, "CORP.EXAMPLE.TEST")
NEW = BundleAccount("svc-see", "CORP", "second", 2, "CORP.EXAMPLE.TEST")
OTHER = BundleAccount("svc-two", "CORP", "third", 1, "CORP.EXAMPLE.TEST")


@pytest.fixture
def server():
    fake = FakeServer()
    fake.windows(OLD, "ntlm")
    return fake


def package(server, built_at, account):
    claims = EnrolmentToken(INSTALLATION, uuid.uuid4().hex, "p", "r", "auto", built_at, built_at + 10**6, 5, "windows")
    return replace(server.bundle(), statement=server.keyset.sign(ENROLMENT_TYP, claims), account=account)


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
    before = enrolled.load()
    forged = replace(package(FakeServer(), 2000, NEW), root=before.root, delegations=before.delegations)
    forged = replace(forged, profile=server.profile)
    assert seed(enrolled, forged) is Seeded.KEPT
    assert enrolled.load() == before


def test_an_oauth_endpoint_takes_no_account(server, enrolled):
    enrolled.store(replace(enrolled.load(), mode="oauth", account_name="", account_password=""))
    assert seed(enrolled, package(server, 1001, NEW)) is Seeded.KEPT
