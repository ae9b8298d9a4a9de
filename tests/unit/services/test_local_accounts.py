"""Accounts of the embedded directory, kept in the store."""

import pytest

from keyfast.core.directory import Logon
from keyfast.core.secret import Secret
from keyfast.directory.local import LocalDirectory
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.local_accounts import MAX_NAME, LocalAccountService, StoredAccounts
from keyfast.wire.directory import LocalAccountOrder

PASSWORD = "Local-Passw0rd"


@pytest.fixture
def directory(site):
    return LocalDirectory("LOCAL", StoredAccounts(site.database, site.clock), site.clock)


@pytest.fixture
def service(site, directory):
    return LocalAccountService(directory, StoredAccounts(site.database, site.clock))


async def test_an_account_is_made_changed_and_listed(directory, service, clock):
    await service.set_(LocalAccountOrder("Svc-See", PASSWORD), "anna")
    line = await service.set_(LocalAccountOrder("svc-see", disabled=True, max_age_days=30), "anna")
    assert (line.name, line.password_set_at, line.disabled, line.max_age_days) == ("svc-see", clock.now, True, 30)
    assert await directory.verify("svc-see", Secret(PASSWORD.encode())) is Logon.DISABLED
    await service.set_(LocalAccountOrder("svc-see", disabled=False, must_change=True), "anna")
    assert await directory.verify("svc-see", Secret(PASSWORD.encode())) is Logon.MUST_CHANGE
    again = await service.set_(LocalAccountOrder("svc-see", PASSWORD), "anna")
    assert (again.must_change, again.max_age_days) == (False, 30)
    assert await directory.verify("svc-see", Secret(PASSWORD.encode())) is Logon.GRANTED
    assert await service.list_() == [again]


@pytest.mark.parametrize("name", ["", "a\\b", "a/b", "a@b", "a:b", "a\0b", "x" * (MAX_NAME + 1)])
async def test_what_is_no_name_is_not_taken(service, name):
    with pytest.raises(UsageError, match="is no logon name"):
        await service.set_(LocalAccountOrder(name, PASSWORD), "anna")
    assert await service.list_() == []


async def test_nobody_is_changed_who_is_not_there(service):
    with pytest.raises(NotFoundError):
        await service.set_(LocalAccountOrder("nobody", disabled=True), "anna")


async def test_a_restart_forgets_nothing_and_no_password_is_stored(site, service):
    await service.set_(LocalAccountOrder("svc-see", PASSWORD), "anna")
    again = LocalDirectory("LOCAL", StoredAccounts(site.database, site.clock), site.clock)
    assert await again.verify("SVC-SEE", Secret(PASSWORD.encode())) is Logon.GRANTED
    for file in site.settings.data.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()
