"""One question for many requests; what was said is remembered as long as asking again would do harm."""

import asyncio

import pytest

from keyfast.core.directory import Logon
from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError
from keyfast.services.basic_cache import CAPACITY, GRANTED_SECONDS, REFUSED_SECONDS, BasicCache

KEY = "CORP\\svc-see"
PASSWORD = Secret(b"Right-Passw0rd")


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


class Asked:
    """A directory that counts, and answers when its gate is open."""

    def __init__(self, says=Logon.GRANTED):
        self.says = says
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        self.count += 1
        await self.gate.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return BasicCache(Secret(bytes(32)), clock)


async def ask(cache, asked, password=PASSWORD, stamps=(1,), account=KEY):
    return await cache.ask(account, password, stamps, asked)


@pytest.mark.parametrize(
    ("says", "seconds"),
    [(Logon.GRANTED, GRANTED_SECONDS), (Logon.WRONG_PASSWORD, REFUSED_SECONDS)],
)
async def test_an_answer_is_remembered_for_its_time(cache, clock, says, seconds):
    asked = Asked(says)
    assert await ask(cache, asked) == (says, True)
    clock.now += seconds - 1
    assert await ask(cache, asked) == (says, False)
    clock.now += 1
    assert await ask(cache, asked) == (says, True)
    assert asked.count == 2


@pytest.mark.parametrize("says", [logon for logon in Logon if logon not in (Logon.GRANTED, Logon.WRONG_PASSWORD)])
async def test_the_state_of_an_account_is_not_remembered(cache, says):
    asked = Asked(says)
    for _ in range(2):
        assert await ask(cache, asked) == (says, True)
    assert asked.count == 2


async def test_ten_thousand_at_once_are_one_question(cache):
    asked = Asked()
    asked.gate.clear()
    waiting = [asyncio.ensure_future(ask(cache, asked)) for _ in range(10_000)]
    await asyncio.sleep(0)
    asked.gate.set()
    answers = await asyncio.gather(*waiting)
    assert asked.count == 1
    assert answers.count((Logon.GRANTED, True)) == 1


@pytest.mark.parametrize(
    "other", [{"password": Secret(b"Other")}, {"stamps": (2,)}, {"stamps": (1, 1)}, {"account": "CORP\\other"}]
)
async def test_another_question_is_asked(cache, other):
    asked = Asked()
    await ask(cache, asked)
    await ask(cache, asked, **other)
    assert asked.count == 2


async def test_what_a_lagging_domain_controller_refused_is_asked_again_when_it_has_caught_up(cache):
    asked = Asked(Logon.WRONG_PASSWORD)
    await ask(cache, asked, stamps=(2, 1))
    asked.says = Logon.GRANTED
    assert await ask(cache, asked, stamps=(2, 2)) == (Logon.GRANTED, True)


async def test_an_outage_is_everybody_s_and_is_not_remembered(cache):
    asked = Asked(NotReadyError("no domain controller answers"))
    asked.gate.clear()
    waiting = [asyncio.ensure_future(ask(cache, asked)) for _ in range(3)]
    await asyncio.sleep(0)
    asked.gate.set()
    faults = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(fault) for fault in faults] == [NotReadyError] * 3
    asked.says = Logon.GRANTED
    assert await ask(cache, asked) == (Logon.GRANTED, True)


async def test_the_answer_to_somebody_who_hung_up_is_remembered(cache):
    asked = Asked(Logon.WRONG_PASSWORD)
    asked.gate.clear()
    first = asyncio.ensure_future(ask(cache, asked))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.ensure_future(ask(cache, asked))
    await asyncio.sleep(0)
    asked.gate.set()
    assert await second == (Logon.WRONG_PASSWORD, False)
    assert await ask(cache, asked) == (Logon.WRONG_PASSWORD, False)
    assert asked.count == 1


async def test_the_oldest_answers_make_room(cache):
    asked = Asked()
    for number in range(CAPACITY + 1):
        await ask(cache, asked, Secret(str(number).encode()))
    await ask(cache, asked, Secret(b"1"))
    assert asked.count == CAPACITY + 1
    await ask(cache, asked, Secret(b"0"))
    assert asked.count == CAPACITY + 2


async def test_no_password_is_kept(cache):
    await ask(cache, Asked())
    assert b"Right-Passw0rd" not in repr(vars(cache)).encode()
