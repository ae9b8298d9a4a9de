"""The queue in front of the batches, with a batch store that does as it is told."""

import asyncio

import pytest
from tests.support.databases import check_in, some_id

from keyfast.core.check_in import Accepted, Standing
from keyfast.core.endpoint import EndpointState
from keyfast.errors import NotReadyError
from keyfast.store.writer import GroupCommit, open_writer


class FakeBatches:
    """Accepts everything once ``let_go`` is set, unless told to fail."""

    def __init__(self):
        self.batches, self.fail_with, self.closed = [], [], False
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.let_go.set()

    async def commit(self, batch):
        self.batches.append([one.report.seq for one in batch])
        self.begun.set()
        await self.let_go.wait()
        if self.fail_with:
            raise self.fail_with.pop(0)
        if any(one.address == "poison" for one in batch):
            raise ValueError("cannot be stored")
        return [Accepted(Standing(EndpointState.ACTIVE, one.report.seq), False, False) for one in batch]

    async def close(self):
        self.closed = True


def _submit(writer, seqs, **changes):
    return [asyncio.ensure_future(writer.submit(check_in(some_id(), seq, **changes))) for seq in seqs]


async def test_what_arrives_during_a_commit_is_the_next_batch():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0)
    store.let_go.clear()
    first = _submit(writer, [1])
    await store.begun.wait()
    rest = _submit(writer, [2, 3, 4])
    await asyncio.sleep(0)
    assert not any(task.done() for task in first + rest)
    store.let_go.set()
    verdicts = await asyncio.gather(*first, *rest)
    assert [verdict.standing.seq for verdict in verdicts] == [1, 2, 3, 4]
    assert store.batches == [[1], [2, 3, 4]]
    await writer.close()


async def test_a_full_queue_turns_away_at_once():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0, capacity=2)
    store.let_go.clear()
    first = _submit(writer, [1])
    await store.begun.wait()
    waiting = _submit(writer, [2, 3])
    await asyncio.sleep(0)
    with pytest.raises(NotReadyError) as caught:
        await writer.submit(check_in(some_id(), 4))
    assert caught.value.retry_after > 0
    store.let_go.set()
    await asyncio.gather(*first, *waiting)
    await writer.close()


async def test_an_outage_fails_its_whole_batch_and_the_writer_goes_on():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0)
    cause = OSError("disk")
    store.fail_with.append(NotReadyError("down", retry_after=7))
    store.fail_with[0].__cause__ = cause
    outcomes = await asyncio.gather(*_submit(writer, [1, 2]), return_exceptions=True)
    assert [(type(one), one.retry_after, one.__cause__) for one in outcomes] == [(NotReadyError, 7, cause)] * 2
    assert outcomes[0] is not outcomes[1]
    assert isinstance(await writer.submit(check_in(some_id(), 3)), Accepted)
    await writer.close()


async def test_one_that_cannot_be_stored_fails_nobody_else():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0)
    tasks = [*_submit(writer, [1]), *_submit(writer, [2], address="poison"), *_submit(writer, [3])]
    one, poison, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one.standing.seq, three.standing.seq) == (1, 3)
    assert isinstance(poison, ValueError)
    await writer.close()


async def test_a_caller_that_went_away_disturbs_nobody():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0)
    store.let_go.clear()
    gone, stays = _submit(writer, [1, 2])
    await store.begun.wait()
    gone.cancel()
    await asyncio.sleep(0)
    store.let_go.set()
    assert (await stays).standing.seq == 2
    await writer.close()


async def test_closing_records_what_waits_and_takes_no_more():
    store = FakeBatches()
    writer = GroupCommit(store, gap_s=0)
    store.let_go.clear()
    first = _submit(writer, [1])
    await store.begun.wait()
    waiting = _submit(writer, [2])
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(NotReadyError):
        await writer.submit(check_in(some_id(), 3))
    store.let_go.set()
    await closing
    assert [(await task).standing.seq for task in first + waiting] == [1, 2]
    assert store.closed
    await writer.close()


async def test_the_gap_is_kept_free_between_two_batches():
    store, loop = FakeBatches(), asyncio.get_running_loop()
    writer = GroupCommit(store, gap_s=0.05)
    await writer.submit(check_in(some_id(), 1))
    ended = loop.time()
    await writer.submit(check_in(some_id(), 2))
    assert loop.time() - ended >= 0.045
    await writer.close()


async def test_a_missing_sqlite_file_is_told(tmp_path):
    with pytest.raises(NotReadyError):
        await open_writer(f"sqlite:///{tmp_path}/missing.db")
