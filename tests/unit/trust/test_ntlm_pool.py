"""Helper processes are lent to one logon at a time, in turn, and never lost."""

import asyncio

import pytest

from keyfast.errors import NotReadyError
from keyfast.trust.ntlm_helper import Answer, Said
from keyfast.trust.ntlm_pool import Pool


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class FakeWorker:
    def __init__(self):
        self.alive = True
        self.killed = self.waited = False

    async def ask(self, verb, token):
        return Answer(Said.CHALLENGE, token, "")

    def kill(self):
        self.alive, self.killed = False, True

    async def ended(self):
        self.waited = True


class Maker:
    def __init__(self):
        self.made = []
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        await self.gate.wait()
        if self.fails:
            raise NotReadyError("cannot be started")
        self.made.append(FakeWorker())
        return self.made[-1]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def maker():
    return Maker()


@pytest.fixture
async def pool(maker, clock):
    pool = Pool(maker, processes=2, waiting=2, wait_s=60, idle_s=100, exchange_s=10, clock=clock)
    yield pool
    await pool.close()
    assert all(worker.killed and worker.waited for worker in maker.made)


async def queued(pool):
    """A task that waits in the queue."""
    task = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_process_is_used_again(pool, maker):
    for _ in range(5):
        (await pool.take()).release()
    assert len(maker.made) == 1


async def test_at_most_so_many_processes_and_the_first_that_waits_is_first(pool, maker):
    first, second = await pool.take(), await pool.take()
    waiting = [await queued(pool), await queued(pool)]
    with pytest.raises(NotReadyError, match="too many"):
        await pool.take()
    second.release()
    assert (await waiting[0]).helper is second.helper
    assert not waiting[1].done()
    first.release()
    assert (await waiting[1]).helper is first.helper
    assert len(maker.made) == 2


async def test_waiting_has_an_end(maker, clock):
    pool = Pool(maker, processes=1, waiting=2, wait_s=0, idle_s=100, exchange_s=10, clock=clock)
    hold = await pool.take()
    with pytest.raises(NotReadyError, match="taken"):
        await pool.take()
    hold.release()
    (await pool.take()).release()
    await pool.close()


async def test_a_dead_process_is_replaced_for_whoever_waits(pool, maker):
    first, second = await pool.take(), await pool.take()
    waiting = await queued(pool)
    first.helper.alive = False
    first.release()
    assert (await waiting).helper is maker.made[2]
    assert first.helper.killed
    second.release()


@pytest.mark.parametrize("died", [[0], [1], [0, 1]])
async def test_a_process_that_died_idle_is_not_lent(pool, maker, died):
    for hold in [await pool.take(), await pool.take()]:
        hold.release()
    for index in died:
        maker.made[index].alive = False
    again = [await pool.take(), await pool.take()]
    assert all(hold.helper.alive for hold in again)


async def test_a_start_that_fails_gives_its_place_back(pool, maker):
    maker.fails = True
    for _ in range(5):
        with pytest.raises(NotReadyError, match="started"):
            await pool.take()
    maker.fails = False
    assert [await pool.take(), await pool.take()]


async def test_a_cancelled_start_gives_its_place_back(pool, maker):
    maker.gate.clear()
    starting = [await queued(pool), await queued(pool)]
    for task in starting:
        task.cancel()
    await asyncio.wait(starting)
    maker.gate.set()
    assert [await pool.take(), await pool.take()]


async def test_whoever_is_cancelled_in_the_queue_takes_no_process_away(pool):
    first, second = await pool.take(), await pool.take()
    one, two = await queued(pool), await queued(pool)
    one.cancel()
    await asyncio.wait([one])
    first.release()
    assert (await two).helper is first.helper
    late = await queued(pool)
    second.release()
    late.cancel()  # in the moment it was served
    await asyncio.wait([late])
    assert (await pool.take()).helper is second.helper


async def test_a_paused_logon_goes_on_in_time(pool, clock):
    hold = await pool.take()
    hold.pause()
    clock.now = 9.9
    assert hold.resume() is hold.helper
    clock.now = 1000
    (await pool.take()).release()
    assert hold.helper.alive
    hold.release()


async def test_a_paused_logon_is_taken_back_when_somebody_begins(pool, clock, maker):
    slow, other = await pool.take(), await pool.take()
    slow.pause()
    clock.now = 10
    assert (await pool.take()).helper is slow.helper
    with pytest.raises(NotReadyError, match="too far apart"):
        slow.resume()
    slow.release()
    with pytest.raises(NotReadyError):
        slow.resume()
    assert other.helper.alive
    assert len(maker.made) == 2


async def test_a_paused_logon_is_taken_back_for_one_who_waits_already(maker):
    loop = asyncio.get_running_loop()
    pool = Pool(maker, processes=1, waiting=2, wait_s=30, idle_s=100, exchange_s=0.05, clock=loop.time)
    slow = await pool.take()
    slow.pause()
    assert (await asyncio.wait_for(pool.take(), 5)).helper is slow.helper
    await pool.close()


async def test_releasing_twice_frees_one_place(pool, maker):
    hold, other = await pool.take(), await pool.take()
    hold.release()
    hold.release()
    again = await pool.take()
    waiting = await queued(pool)
    again.release()
    assert (await waiting).helper is again.helper
    assert other.helper is not again.helper
    assert len(maker.made) == 2


async def test_idle_processes_end(pool, clock, maker):
    for hold in [await pool.take(), await pool.take()]:
        hold.release()
    clock.now = 101
    (await pool.take()).release()
    assert [worker.killed for worker in maker.made] == [True, True, False]


async def test_closing_ends_every_process_and_every_wait(pool, maker):
    asked, paused = await pool.take(), await pool.take()
    paused.pause()
    waiting = await queued(pool)
    await pool.close()
    with pytest.raises(NotReadyError, match="stopping"):
        await waiting
    with pytest.raises(NotReadyError, match="stopping"):
        await pool.take()
    with pytest.raises(NotReadyError):
        paused.resume()
    asked.release()
    assert all(worker.killed for worker in maker.made)


async def test_a_process_that_starts_while_closing_ends(pool, maker):
    maker.gate.clear()
    starting = await queued(pool)
    await pool.close()
    maker.gate.set()
    with pytest.raises(NotReadyError, match="stopping"):
        await starting
    await asyncio.sleep(0)
    assert maker.made[0].waited
