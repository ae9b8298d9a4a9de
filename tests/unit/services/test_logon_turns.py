"""Few endpoints at a time try an account; when one is refused those who wait try nothing."""

import asyncio

import pytest

from keyfast.core.directory import AccountReading
from keyfast.core.refusal import RefusalClass
from keyfast.services.known_account import KnownAccount
from keyfast.services.logon_turns import LogonTurns


def account(threshold=5, bad=0, key="CORP\\svc"):
    return KnownAccount(key, readings=(AccountReading("dc1", 1, True, lockout_threshold=threshold, bad_passwords=bad),))


class Directory:
    """Holds every try until it is told what to say."""

    def __init__(self, turns, account):
        self.turns, self.account = turns, account
        self.under_way, self.most, self.tried = 0, 0, 0
        self.goes_on = asyncio.Event()
        self.refuses = False

    async def log_on(self):
        """What came of it: ``later``, ``refused`` or ``granted``."""
        told = await self.turns.enter(self.account)
        if told is not None:
            assert told.kind is RefusalClass.NOT_READY
            assert told.retry_after > 0
            return "later"
        self.under_way += 1
        self.tried += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.goes_on.wait()
        finally:
            self.under_way -= 1
            self.turns.leave(self.account, refused=self.refuses)
        return "refused" if self.refuses else "granted"


@pytest.fixture
def directory():
    return Directory(LogonTurns(), account())


async def at_once(directory, number):
    """So many endpoints, as far as they get by themselves."""
    there = [asyncio.create_task(directory.log_on()) for _ in range(number)]
    await asyncio.sleep(0)
    return there


async def test_no_more_are_under_way_than_may_be_wrong(directory):
    there = await at_once(directory, 50)
    assert directory.under_way == 2
    directory.goes_on.set()
    assert await asyncio.gather(*there) == ["granted"] * 50
    assert directory.most == 2


async def test_who_waits_tries_nothing_once_one_was_refused(directory):
    there = await at_once(directory, 50)
    directory.refuses = True
    directory.goes_on.set()
    heard = await asyncio.gather(*there)
    assert sorted(heard) == ["later"] * 48 + ["refused"] * 2
    assert directory.tried == 2


async def test_afterwards_everything_is_as_before(directory):
    for directory.refuses in (True, False):
        directory.goes_on.clear()
        there = await at_once(directory, 5)
        directory.goes_on.set()
        await asyncio.gather(*there)
    assert directory.tried == 2 + 5


async def test_where_nothing_locks_nobody_waits():
    directory = Directory(LogonTurns(), account(threshold=0))
    there = await at_once(directory, 50)
    assert directory.under_way == 50
    directory.goes_on.set()
    await asyncio.gather(*there)


async def test_one_account_does_not_wait_for_another():
    turns = LogonTurns()
    first, second = Directory(turns, account(key="CORP\\a")), Directory(turns, account(key="CORP\\b"))
    there = [*await at_once(first, 5), *await at_once(second, 5)]
    assert (first.under_way, second.under_way) == (2, 2)
    for directory in (first, second):
        directory.goes_on.set()
    await asyncio.gather(*there)


@pytest.mark.parametrize("hangs_up", [0, 1, 2, 3, 49])
async def test_who_hangs_up_takes_no_turn_along(directory, hangs_up):
    there = await at_once(directory, 50)
    there[hangs_up].cancel()
    directory.goes_on.set()
    heard = await asyncio.gather(*there, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in heard) == 1
    assert heard.count("granted") == 49
    assert directory.most == 2


async def test_who_hangs_up_when_its_turn_has_come_hands_it_over(directory):
    first, second, third, fourth = await at_once(directory, 4)
    first.cancel()
    await asyncio.sleep(0)  # its turn is the third one's now, which has not heard of it
    third.cancel()
    directory.goes_on.set()
    heard = await asyncio.gather(first, second, third, fourth, return_exceptions=True)
    assert [str(one) for one in heard] == ["", "granted", "", "granted"]
    assert directory.under_way == 0
    assert await asyncio.wait_for(directory.log_on(), 5) == "granted"
