"""Group commit: check-ins that arrive while one batch is being committed become the next one.

An answer is given only after the commit of its batch. Between two batches the database's lock is free
for at least the gap, so that the other processes of the server get through under full load.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from keyfast.errors import NotReadyError
from keyfast.store.batch import BatchStore, CheckIn, Verdict
from keyfast.store.postgres_batch import PostgresBatches
from keyfast.store.sqlite_batch import SqliteBatches
from keyfast.store.url import sqlite_path

__all__ = ["CheckIn", "GroupCommit", "open_writer"]

GAP = 0.010
CAPACITY = 4096
MAX_BATCH = 512

_Waiting = tuple[CheckIn, "asyncio.Future[Verdict]"]


class GroupCommit:
    """Submits check-ins to a batch store, in order of arrival.

    Args:
        store: where batches go.
        gap_s: seconds the database's lock is free between two batches.
        capacity: check-ins that may wait; more are turned away.
    """

    def __init__(self, store: BatchStore, *, gap_s: float = GAP, capacity: int = CAPACITY) -> None:
        self._store = store
        self._gap = gap_s
        self._capacity = capacity
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="check-in writer")

    async def submit(self, check_in: CheckIn) -> Verdict:
        """Judge and record a check-in; returns once it is durable. A refusal has written nothing.

        Raises:
            NotReadyError: the store is down, or too many wait; nothing was acknowledged.
        """
        if self._closing:
            raise NotReadyError("the server is stopping", retry_after=5)
        if len(self._waiting) >= self._capacity:
            raise NotReadyError("too many check-ins are waiting to be recorded", retry_after=30)
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((check_in, future))
        self._arrived.set()
        return await future

    async def close(self) -> None:
        """Record what is waiting, then let go of the database. May be called twice."""
        self._closing = True
        self._arrived.set()
        await self._task

    async def _run(self) -> None:
        try:
            while await self._more():
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                await self._record(batch)
                await asyncio.sleep(self._gap)
        finally:
            self._closing = True
            _fail(self._waiting, NotReadyError("the server is stopping", retry_after=5))
            await self._store.close()

    async def _more(self) -> bool:
        while not self._waiting:
            if self._closing:
                return False
            self._arrived.clear()
            await self._arrived.wait()
        return True

    async def _record(self, batch: Sequence[_Waiting]) -> None:
        try:
            verdicts = await self._store.commit([check_in for check_in, _ in batch])
        except NotReadyError as fault:
            _fail(batch, fault)
        except Exception as fault:  # noqa: BLE001 - told to whoever submitted it; the writer goes on
            if len(batch) == 1:
                _fail(batch, fault)
            for alone in batch if len(batch) > 1 else ():  # one that cannot be stored fails nobody else
                await self._record([alone])
        else:
            for (_, future), verdict in zip(batch, verdicts, strict=True):
                if not future.done():  # a caller that went away
                    future.set_result(verdict)


def _fail(batch: Iterable[_Waiting], fault: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(_copy(fault))


def _copy(fault: Exception) -> Exception:
    """One exception per caller: an exception collects the traceback of everyone who raises it."""
    if not isinstance(fault, NotReadyError):
        return fault
    copy = NotReadyError(fault.message, retry_after=fault.retry_after, repair=fault.repair)
    copy.__cause__ = fault.__cause__
    return copy


async def open_writer(url: str, *, gap_s: float = GAP, capacity: int = CAPACITY) -> GroupCommit:
    """Open the writer of a check-in process. On SQLite there is one per file; PostgreSQL takes several.

    Raises:
        NotReadyError: the SQLite file cannot be opened (PostgreSQL is connected to when needed).
        UsageError: the URL is of no known form.
    """
    path = sqlite_path(url)
    store = PostgresBatches(url) if path is None else SqliteBatches(path)
    return GroupCommit(store, gap_s=gap_s, capacity=capacity)
