"""The directory room against a real domain controller: what is read, what is granted, what an outage is."""

import asyncio
import itertools
import time
from pathlib import Path

import psutil
import pytest
from tests.support.samba import ADMINISTRATOR_PASSWORD, READER_PASSWORD, SEE_PASSWORD, Domain, start_domain

from keyfast.core.account import AccountCondition, unusable
from keyfast.core.account_verdict import judge
from keyfast.core.directory import AccountReading, Logon, Unreachable
from keyfast.core.secret import Secret
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.address import parse
from keyfast.directory.connection import Connection
from keyfast.directory.settings import DirectorySettings, KeytabReader, SimpleReader
from keyfast.errors import ConflictError, NotFoundError, NotReadyError, TrustError, UsageError

READER = SimpleReader("CORP\\svc-reader", Secret(READER_PASSWORD.encode()))
WRONG = Secret(b"certainly-Wr0ng")


def settings(*servers, ca, reader=READER, **changes):
    return DirectorySettings("corp", servers, reader, ca, **changes)


@pytest.fixture
async def directory(ad, kerberos):
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, realm=ad.realm), time.time)
    yield made
    await made.close()


async def read(directory, name):
    (outcome,) = await directory.read(name)
    assert isinstance(outcome, AccountReading), outcome
    return outcome


def secret(text):
    return Secret(text.encode())


# What a domain controller says to the right password, and what the attributes say, in each state.
STATES = [
    ("ok", Logon.GRANTED, AccountCondition.MAY_EXPIRE),
    ("never-expires", Logon.GRANTED, AccountCondition.LOCKOUT_POSSIBLE),
    ("expiring:864000", Logon.GRANTED, AccountCondition.EXPIRES_SOON),
    ("expired", Logon.EXPIRED, AccountCondition.EXPIRED),
    ("must-change", Logon.MUST_CHANGE, AccountCondition.MUST_CHANGE),
    ("disabled", Logon.DISABLED, AccountCondition.DISABLED),
    ("account-expired", Logon.ACCOUNT_EXPIRED, AccountCondition.ACCOUNT_EXPIRED),
    ("locked", Logon.LOCKED, AccountCondition.LOCKED),
    ("hours-none", Logon.HOURS, AccountCondition.RESTRICTED),
    ("workstations", Logon.WORKSTATION, AccountCondition.RESTRICTED),
    ("deleted", Logon.WRONG_PASSWORD, AccountCondition.MISSING),
]
ASKED_ONLY = {Logon.HOURS, Logon.WORKSTATION}


@pytest.mark.parametrize(("state", "logon", "condition"), STATES)
async def test_each_state_is_read_and_said_alike(directory, account, state, logon, condition):
    account.state("ok")
    account.state(state)
    reading = await read(directory, account.name)
    verdict = judge([reading], int(time.time()))
    assert condition in [finding.condition for finding in verdict.findings]
    assert await directory.verify(account.name, secret(account.password)) is logon
    expected = None if logon is Logon.GRANTED or logon in ASKED_ONLY else logon
    assert unusable(reading, int(time.time())) is expected


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations(["disabled", "account-expired", "expired", "must-change", "locked"], 2)),
)
async def test_of_two_troubles_the_same_one_is_told(directory, account, first, second):
    account.state("locked" if second == "locked" else "ok")
    account.state(first)
    if second != "locked":
        account.state(second)
    reading = await read(directory, account.name)
    assert await directory.verify(account.name, secret(account.password)) is unusable(reading, int(time.time()))


async def test_reading_never_counts_as_a_wrong_password(directory, account):
    for _ in range(10):
        await read(directory, account.name)
    assert account.read().get("badPwdCount", ["0"]) == ["0"]


async def test_a_wrong_password_hides_every_state_and_is_counted_once(directory, account):
    account.state("expired")
    assert await directory.verify(account.name, WRONG) is Logon.WRONG_PASSWORD
    assert (await read(directory, account.name)).bad_passwords == 1


@pytest.mark.parametrize("name", ["*", "", "a*", "svc-see)(|", "CORP\\svc-see", "svc-see@corp.example.test", "a\0b"])
async def test_a_name_that_cannot_be_one_is_wrong_without_asking(directory, name):
    assert await directory.verify(name, secret(SEE_PASSWORD)) is Logon.WRONG_PASSWORD


async def test_an_empty_password_is_wrong_without_asking(directory, account):
    assert await directory.verify(account.name, Secret(b"")) is Logon.WRONG_PASSWORD
    assert account.read().get("badPwdCount", ["0"]) == ["0"]


async def test_a_name_never_widens_a_search(directory):
    for name in ("*", "svc-*", "svc-see)(objectClass=*", "\\2a", "\0"):
        assert not (await read(directory, name)).exists


async def test_the_stamp_moves_with_the_password_and_only_the_current_one_is_proven(ad, directory, account):
    before = await read(directory, account.name)
    ad.password(account.name, "Other-Passw0rd-1")
    after = await read(directory, account.name)
    assert after.password_stamp > before.password_stamp
    old, new = secret(account.password), Secret(b"Other-Passw0rd-1")
    assert await directory.verify(account.name, old) is Logon.GRANTED  # for an hour, as in Active Directory
    assert await directory.prove(account.name, old) is Logon.WRONG_PASSWORD
    assert await directory.prove(account.name, new) is Logon.GRANTED


async def test_without_kerberos_a_fresh_password_cannot_be_told_and_an_older_one_can(ad, account):
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca), time.time)
    with pytest.raises(NotReadyError, match="cannot be told") as told:
        await made.prove(account.name, secret(account.password))
    assert 0 < told.value.retry_after <= 4200
    account.state("age:1")
    assert await made.prove(account.name, secret(account.password)) is Logon.GRANTED
    assert await made.prove(account.name, WRONG) is Logon.WRONG_PASSWORD
    await made.close()


async def test_groups_policy_and_rights_are_read_with_names(ad, directory, account):
    ad.database.ask("join", group="Domain Admins", name=account.name)
    ad.modify(
        account.name, servicePrincipalName=f"HTTP/{account.name}", mail="a@example.com", userWorkstations="PC1,PC2"
    )
    reading = await read(directory, account.name)
    names = {group.name.partition(",")[0] for group in reading.groups}
    assert {"CN=Domain Admins", "CN=Administrators"} <= names  # the second only through the first
    assert "CN=Domain Users" not in names
    assert (reading.service_names, reading.person, reading.workstations) == (
        (f"HTTP/{account.name}",),
        ("mail",),
        ("PC1", "PC2"),
    )
    conditions = {finding.condition for finding in judge([reading], int(time.time())).findings}
    assert {AccountCondition.OVER_PRIVILEGED, AccountCondition.PERSONAL, AccountCondition.RESTRICTED} <= conditions


async def test_an_ordinary_account_is_in_no_group_worth_telling(directory, account):
    reading = await read(directory, account.name)
    assert (reading.groups, reading.lockout_threshold) == ((), 5)


async def test_a_policy_of_its_own_is_named_and_what_the_reader_may_not_see_is_unknown(ad, directory, account):
    ad.pso("strict", account.name, max_age_days=20, lockout_threshold=3)
    try:
        reading = await read(directory, account.name)
        assert reading.policy.startswith("CN=strict,")
        assert reading.lockout_threshold is None
        assert reading.password_expires_at == pytest.approx(time.time() + 20 * 86400, abs=60)
        administrator = SimpleReader("CORP\\Administrator", secret(ADMINISTRATOR_PASSWORD))
        privileged = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, reader=administrator), time.time)
        assert (await read(privileged, account.name)).lockout_threshold == 3
        await privileged.close()
    finally:
        ad.delete_pso("strict")


DOORS = ["ldaps simple", "starttls simple", "sealed keytab", "ldaps keytab"]


@pytest.mark.parametrize("door", DOORS)
async def test_every_protected_door_reads_and_verifies(ad, kerberos, account, tmp_path, door):
    keytab = KeytabReader(f"svc-reader@{ad.realm}", tmp_path / "reader.keytab")
    if "keytab" in door:
        ad.keytab("svc-reader", keytab.keytab)
    url = ad.ldaps_url if "ldaps" in door else ad.ldap_url
    made = ActiveDirectory(settings(url, ca=ad.ca, reader=keytab if "keytab" in door else READER), time.time)
    for _ in range(3):
        assert (await read(made, account.name)).exists
    assert await made.verify(account.name, secret(account.password)) is Logon.GRANTED
    await made.close()


def test_the_servers_own_event_loop_does_as_well(ad, kerberos, tmp_path):
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    keytab = KeytabReader(f"svc-reader@{ad.realm}", ad.keytab("svc-reader", tmp_path / "reader.keytab"))

    async def run():
        for url in (ad.ldap_url, ad.ldaps_url):
            made = ActiveDirectory(settings(url, ca=ad.ca, reader=keytab), time.time)
            assert (await read(made, "svc-see")).exists
            assert await made.verify("svc-see", secret(SEE_PASSWORD)) is Logon.GRANTED
            await made.close()

    uvloop.run(run())


async def test_a_password_is_never_sent_in_the_clear(ad, account):
    connection = await Connection.open(parse(ad.ldap_url), None)
    with pytest.raises(TrustError, match="in the clear"):
        await connection.bind(account.logon, secret(account.password))
    connection.close()


@pytest.mark.parametrize("url", ["ldaps_url", "ldap_url"])
async def test_a_certificate_that_does_not_hold_is_an_outage_not_a_verdict(ad, account, url):
    made = ActiveDirectory(settings(getattr(ad, url), ca=None), time.time)
    (outcome,) = await made.read(account.name)
    assert isinstance(outcome, Unreachable)
    assert "certificate" in outcome.reason
    with pytest.raises(NotReadyError):
        await made.verify(account.name, secret(account.password))
    await made.close()


async def test_a_reader_that_is_refused_is_an_outage_and_no_password_is_in_it(ad, account):
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, reader=SimpleReader("CORP\\svc-reader", WRONG)), time.time)
    (outcome,) = await made.read(account.name)
    assert isinstance(outcome, Unreachable)
    assert "reader account" in outcome.reason
    assert "Wr0ng" not in repr(outcome) + repr(made)
    await made.close()


async def test_a_missing_keytab_is_an_outage(ad, kerberos, account, tmp_path):
    gone = KeytabReader(f"svc-reader@{ad.realm}", tmp_path / "gone.keytab")
    made = ActiveDirectory(settings(ad.ldap_url, ca=ad.ca, reader=gone), time.time)
    (outcome,) = await made.read(account.name)
    assert isinstance(outcome, Unreachable)
    await made.close()


@pytest.fixture
def own_domain(tmp_path_factory):
    """A domain of one's own, to be stopped."""
    made = start_domain(tmp_path_factory.mktemp("own") / "dc")
    yield made
    made.close()


async def test_two_domain_controllers_that_lag_are_read_side_by_side(ad, own_domain, tmp_path):
    both = tmp_path / "ca.pem"
    both.write_text(ad.ca.read_text() + own_domain.ca.read_text())
    made = ActiveDirectory(settings(ad.ldaps_url, own_domain.ldaps_url, ca=both), time.time)
    own_domain.password("svc-see", "Other-Passw0rd-1")
    readings = await made.read("svc-see")
    assert [reading.server for reading in readings] == [ad.address, own_domain.address]
    lagging = next(f for f in judge(readings, int(time.time())).findings if f.condition is AccountCondition.LAGGING)
    assert lagging.servers == (ad.address,)
    await made.close()


async def test_one_domain_controller_down_delays_nobody_and_comes_back(ad, own_domain, tmp_path):
    both = tmp_path / "ca.pem"
    both.write_text(ad.ca.read_text() + own_domain.ca.read_text())
    made = ActiveDirectory(settings(own_domain.ldaps_url, ad.ldaps_url, ca=both, timeout_s=2), time.time)
    password = secret(SEE_PASSWORD)
    assert all(isinstance(outcome, AccountReading) for outcome in await made.read("svc-see"))
    assert await made.verify("svc-see", password) is Logon.GRANTED
    own_domain.pause()
    began = time.monotonic()
    outcomes = await made.read("svc-see")
    assert [type(outcome) for outcome in outcomes] == [Unreachable, AccountReading]
    assert time.monotonic() - began < 3
    assert await made.verify("svc-see", password) is Logon.GRANTED
    began = time.monotonic()
    assert await made.verify("svc-see", password) is Logon.GRANTED  # the one that works is asked first now
    assert time.monotonic() - began < 1
    own_domain.resume()
    own_domain.kill()
    outcomes = await made.read("svc-see")
    assert [type(outcome) for outcome in outcomes] == [Unreachable, AccountReading]
    own_domain.start_again()
    assert all(isinstance(outcome, AccountReading) for outcome in await made.read("svc-see"))
    await made.close()


async def test_all_down_is_not_ready_and_heals_by_itself(own_domain):
    made = ActiveDirectory(settings(own_domain.ldaps_url, ca=own_domain.ca, timeout_s=3), time.time)
    password = secret(SEE_PASSWORD)
    assert await made.verify("svc-see", password) is Logon.GRANTED
    own_domain.kill()
    with pytest.raises(NotReadyError) as told:
        await made.verify("svc-see", password)
    assert told.value.retry_after == 30
    with pytest.raises(NotReadyError):
        await made.prove("svc-see", password)
    own_domain.start_again()
    assert await made.verify("svc-see", password) is Logon.GRANTED
    await made.close()


async def test_the_loop_goes_on_while_a_domain_controller_hangs(own_domain):
    made = ActiveDirectory(settings(own_domain.ldaps_url, ca=own_domain.ca, timeout_s=1), time.time)
    own_domain.pause()
    worst = 0.0
    reading = asyncio.create_task(made.read("svc-see"))
    while not reading.done():
        began = time.monotonic()
        await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - began)
    assert isinstance(reading.result()[0], Unreachable)
    assert worst < 0.5
    await made.close()
    own_domain.resume()


async def test_ten_thousand_calls_at_once_open_a_handful_of_connections(ad):
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, timeout_s=30), time.time)
    before = _connections(ad)
    password = secret(SEE_PASSWORD)
    calls = [asyncio.create_task(made.verify("svc-see", password)) for _ in range(10_000)]
    most = 0
    while not all(call.done() for call in calls):
        most = max(most, _connections(ad) - before)
        await asyncio.sleep(0.02)
    results = [call.exception() or call.result() for call in calls]
    granted = [result for result in results if result is Logon.GRANTED]
    assert most == 4
    assert len(granted) == 4 + 512
    assert {type(result) for result in results if result is not Logon.GRANTED} == {NotReadyError}
    await made.close()


def _connections(ad: Domain) -> int:
    return sum(bool(c.raddr) and c.raddr.ip == ad.address for c in psutil.Process().net_connections("tcp"))


def test_the_least_privileged_reader_is_in_no_group_but_domain_users(ad: Domain, tmp_path: Path):
    assert ad.read("svc-reader").get("memberOf", []) == []


ADMINISTRATOR = SimpleReader("CORP\\Administrator", Secret(ADMINISTRATOR_PASSWORD.encode()))


async def test_a_password_is_set_by_whoever_has_the_right_and_works_at_once(ad, account, kerberos):
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, realm=ad.realm, reader=ADMINISTRATOR), time.time)
    before = await read(made, account.name)
    new = Secret('Drawn "at" random-Ünïcode-aA1'.encode())
    assert made.can_reset_password
    for _ in range(2):  # after a crash it is done again
        await made.reset_password(account.name, new)
    assert (await read(made, account.name)).password_stamp > before.password_stamp
    assert await made.verify(account.name, new) is Logon.GRANTED
    assert await made.prove(account.name, new) is Logon.GRANTED
    assert await made.prove(account.name, secret(account.password)) is Logon.WRONG_PASSWORD
    await made.close()


async def test_a_password_is_set_inside_starttls_too(ad, account):
    made = ActiveDirectory(settings(ad.ldap_url, ca=ad.ca, reader=ADMINISTRATOR), time.time)
    await made.reset_password(account.name, Secret(b"Inside-StartTls-1"))
    assert await made.verify(account.name, Secret(b"Inside-StartTls-1")) is Logon.GRANTED
    await made.close()


async def test_a_password_is_not_set_without_the_right_or_against_the_policy(ad, directory, account):
    with pytest.raises(ConflictError, match="does not let this server set the password") as told:
        await directory.reset_password(account.name, Secret(b"Not-Allowed-1"))
    assert "keyfast account add" in told.value.repair
    assert await directory.verify(account.name, secret(account.password)) is Logon.GRANTED
    with pytest.raises(NotFoundError):
        await directory.reset_password("nobody-here", Secret(b"Not-Allowed-1"))
    for name, password in ((account.name, b""), ("a*", b"x"), (account.name, b"\xff")):
        with pytest.raises(UsageError):
            await directory.reset_password(name, Secret(password))
    made = ActiveDirectory(settings(ad.ldaps_url, ca=ad.ca, reader=ADMINISTRATOR), time.time)
    with pytest.raises(ConflictError, match="does not take the new password"):
        await made.reset_password(account.name, Secret(b"short"))
    await made.close()


async def test_nothing_is_set_where_nobody_answers(ad):
    made = ActiveDirectory(settings("ldaps://127.0.0.1:1", ca=ad.ca, reader=ADMINISTRATOR), time.time)
    with pytest.raises(NotReadyError):
        await made.reset_password("svc-see", Secret(b"Whatever-1"))
    await made.close()
