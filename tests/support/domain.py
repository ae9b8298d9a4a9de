"""Fixtures of a real domain, imported by the conftest of each folder that has tests with one."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.samba import Account, Domain, start_domain


@pytest.fixture(scope="session")
def ad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    """A running domain. Policies and its seeded accounts are everyone's: put back what you change."""
    domain = start_domain(tmp_path_factory.mktemp("ad") / "dc")
    yield domain
    domain.close()


_account_numbers = itertools.count(1)


@pytest.fixture
def make_account(ad: Domain) -> Iterator[Callable[[], Account]]:
    """Make fresh accounts that nobody else uses; they go when the test is over."""
    made: list[Account] = []

    def make() -> Account:
        number = next(_account_numbers)
        account = Account(ad, f"user{number}", f"User-Passw0rd-{number}")
        ad.add_user(account.name, account.password)
        made.append(account)
        return account

    yield make
    for account in made:
        if ad.exists(account.name):
            ad.delete_user(account.name)


@pytest.fixture
def account(make_account: Callable[[], Account]) -> Account:
    """One fresh account."""
    return make_account()


@pytest.fixture
def kerberos(ad: Domain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Domain:
    """The domain, with this process's own Kerberos library pointed at it and no ticket yet."""
    for name, value in (ad.environment() | {"KRB5CCNAME": f"FILE:{tmp_path}/tickets"}).items():
        monkeypatch.setenv(name, value)
    return ad
