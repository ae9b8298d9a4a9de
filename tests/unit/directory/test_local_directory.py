import asyncio

import pytest
from msgspec.structs import replace

from keyfast.core.directory import Logon
from keyfast.core.secret import Secret
from keyfast.directory.local import LocalDirectory
from keyfast.errors import NotFoundError, UsageError

RIGHT, WRONG = Secret(b"right"), Secret(b"wrong")
NOW = 1_800_000_000


class Accounts:
    """LocalAccounts in memory."""

    def __init__(self):
        self.rows = {}

    async def get(self, name):
        return self.rows.get(name)

    async def put(self, account, by=""):
        self.rows[account.name] = account


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def local(clock):
    made = LocalDirectory("corp", Accounts(), clock)
    await made.set_password("Svc-See", RIGHT)
    return made


async def alter(local, **changes):
    await local.change("svc-see", lambda account: replace(account, **changes))


async def test_the_right_password_is_granted_whatever_the_case_of_the_name(local):
    assert local.domain == "CORP"
    assert await local.verify("SVC-see", RIGHT) is Logon.GRANTED
    assert await local.prove("svc-see", RIGHT) is Logon.GRANTED
    await local.close()


@pytest.mark.parametrize(("name", "password"), [("svc-see", WRONG), ("nobody", RIGHT), ("svc-see", Secret(b""))])
async def test_wrong_and_unknown_look_alike(local, name, password):
    assert await local.verify(name, password) is Logon.WRONG_PASSWORD


STATES = [
    ({"disabled": True}, Logon.DISABLED),
    ({"must_change": True}, Logon.MUST_CHANGE),
    ({"expires_at": NOW}, Logon.ACCOUNT_EXPIRED),
    ({"max_age_s": 60}, Logon.EXPIRED),
    ({"max_age_s": 60, "never_expires": True}, Logon.GRANTED),
    ({"locked_at": NOW}, Logon.LOCKED),
]


@pytest.mark.parametrize(("changes", "logon"), STATES)
async def test_each_state_is_said_to_the_right_password(local, clock, changes, logon):
    await alter(local, **changes)
    clock.now += 60
    assert await local.verify("svc-see", RIGHT) is logon


@pytest.mark.parametrize(("changes", "logon"), STATES)
async def test_a_wrong_password_hides_every_state_but_a_lock(local, clock, changes, logon):
    await alter(local, **changes)
    clock.now += 60
    assert await local.verify("svc-see", WRONG) is (Logon.LOCKED if logon is Logon.LOCKED else Logon.WRONG_PASSWORD)


async def test_nothing_locks_by_default(local):
    for _ in range(7):
        await local.verify("svc-see", WRONG)
    (reading,) = await local.read("svc-see")
    assert (reading.bad_passwords, reading.locked) == (7, False)
    assert await local.verify("svc-see", RIGHT) is Logon.GRANTED
    (reading,) = await local.read("svc-see")
    assert reading.bad_passwords == 0


async def test_a_threshold_locks_for_half_an_hour_also_when_tried_at_once(local, clock):
    await alter(local, lockout_threshold=3)
    tries = await asyncio.gather(*(local.verify("svc-see", WRONG) for _ in range(3)))
    assert tries == [Logon.WRONG_PASSWORD] * 3
    assert await local.verify("svc-see", RIGHT) is Logon.LOCKED
    clock.now += 1800
    assert await local.verify("svc-see", RIGHT) is Logon.GRANTED


async def test_a_new_password_moves_the_stamp_and_ends_the_old_one_at_once(local, clock):
    (before,) = await local.read("svc-see")
    clock.now += 1
    await local.set_password("svc-see", Secret(b"other"))
    (after,) = await local.read("svc-see")
    assert after.password_stamp - before.password_stamp == 10_000_000
    assert (before.password_set_at, after.password_set_at) == (NOW, NOW + 1)
    assert await local.verify("svc-see", RIGHT) is Logon.WRONG_PASSWORD


async def test_an_account_that_is_not_there(local):
    (reading,) = await local.read("nobody")
    assert not reading.exists
    with pytest.raises(NotFoundError):
        await local.change("nobody", lambda account: account)


@pytest.mark.parametrize(("name", "password"), [("", RIGHT), ("x", Secret(b""))])
async def test_an_account_needs_a_name_and_a_password(local, name, password):
    with pytest.raises(UsageError):
        await local.set_password(name, password)


async def test_the_password_is_not_in_what_is_stored(local):
    account = await local.set_password("x", Secret(b"very-Secret-1"))
    assert "very-Secret-1" not in repr(account)
    assert account.verifier.startswith("scrypt$32768$8$1$")


async def test_a_password_is_reset_as_often_as_asked_and_no_account_is_made_by_it(local):
    assert local.can_reset_password
    for _ in range(2):
        await local.reset_password("svc-see", WRONG)
    assert await local.verify("svc-see", WRONG) is Logon.GRANTED
    assert await local.verify("svc-see", RIGHT) is Logon.WRONG_PASSWORD
    with pytest.raises(NotFoundError):
        await local.reset_password("nobody", RIGHT)
