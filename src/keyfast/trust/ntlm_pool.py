"""Who uses which helper process: one logon at a time, a bounded number, nothing held for ever."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from keyfast.errors import NotReadyError
from keyfast.trust.ntlm_helper import Answer


class Worker(Protocol):
    """What a pool needs of a process; see ``ntlm_helper.Helper``."""

    @property
    def alive(self) -> bool:
        """Tell whether it may be asked."""
        ...

    async def ask(self, verb: str, token: bytes) -> Answer:
        """Pass on a client's token."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    async def ended(self) -> None:
        """Wait until it has ended."""
        ...


class Hold:
    """The use of a process by one logon, until it is released or, while paused, taken back."""

    def __init__(self, pool: "Pool", helper: Worker) -> None:
        self._pool = pool
        self._held = True
        self.helper = helper

    def pause(self) -> None:
        """Wait for the client; from now on the pool may take the process back."""
        self._pool.paused(self)

    def resume(self) -> Worker:
        """Go on with the process.

        Raises:
            NotReadyError: the pool took it back.
        """
        if not (self._held and self._pool.resumed(self)):
            raise NotReadyError("the legs of the NTLM logon were too far apart", retry_after=1)
        return self.helper

    def release(self) -> None:
        """Let go of the process; nothing happens the second time."""
        if self._held:
            self._held = False
            self._pool.released(self)


class Pool:
    """Lends processes of one kind; see ``ntlm.NtlmHelpers`` for the limits."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Worker]],
        *,
        processes: int,
        waiting: int,
        wait_s: float,
        idle_s: float,
        exchange_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._start = start
        self._processes = processes
        self._waiting = waiting
        self._wait_s = wait_s
        self._idle_s = idle_s
        self._exchange_s = exchange_s
        self._clock = clock
        self._lent = 0
        self._idle: deque[tuple[Worker, float]] = deque()  # the one used last is on the right
        self._paused: dict[Hold, float] = {}  # in the order of their deadlines
        self._queue: deque[asyncio.Future[Worker | None]] = deque()
        self._workers: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self) -> Hold:
        """Lend a process.

        Raises:
            NotReadyError: none became free in time, or none can be started.
        """
        self._sweep()
        if self._closed:
            raise _stopping()
        if self._idle:
            self._lent += 1
            return Hold(self, self._idle.pop()[0])
        if self._lent < self._processes:
            self._lent += 1
            return await self._started()
        worker = await self._queued()
        return Hold(self, worker) if worker else await self._started()

    def paused(self, hold: Hold) -> None:
        """Note that ``hold`` waits for its client."""
        self._paused[hold] = self._clock() + self._exchange_s

    def resumed(self, hold: Hold) -> bool:
        """Note that its client is back; False if that took too long."""
        return self._paused.pop(hold, None) is not None

    def released(self, hold: Hold) -> None:
        """Take a process back, for whoever waits longest."""
        self._paused.pop(hold, None)
        alive = hold.helper.alive and not self._closed
        if not alive:
            self._end(hold.helper)
        self._pass_on(hold.helper if alive else None)

    async def close(self) -> None:
        """End every process; logons under way get NotReadyError."""
        self._closed = True
        self._idle.clear()
        for worker in [*self._workers]:
            self._end(worker)
        for hold in [*self._paused]:
            hold.release()
        while self._queue:
            self._queue.popleft().set_result(None)
        await asyncio.gather(*self._ending)

    async def _started(self) -> Hold:
        """Start a process for a place that is counted already."""
        try:
            worker = await self._start()
        except BaseException:
            self._pass_on(None)
            raise
        self._workers.add(worker)
        hold = Hold(self, worker)
        if self._closed:  # while it started
            hold.release()
            raise _stopping()
        return hold

    def _pass_on(self, worker: Worker | None) -> None:
        """Hand a lent place to the first in the queue, with its process or with the right to start one."""
        if self._queue:
            self._queue.popleft().set_result(worker)
            return
        self._lent -= 1
        if worker is not None:
            self._idle.append((worker, self._clock()))

    async def _queued(self) -> Worker | None:
        if len(self._queue) >= self._waiting:
            raise NotReadyError("too many NTLM logons at once", retry_after=5)
        place: asyncio.Future[Worker | None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        until = self._clock() + self._wait_s
        try:
            while not place.done() and (now := self._clock()) < until:
                soonest = min([until, *self._paused.values()])
                await asyncio.wait((place,), timeout=max(soonest - now, 0))
                self._sweep()
        except asyncio.CancelledError:
            if place.done():
                self._pass_on(place.result())
            raise
        finally:
            if not place.done():
                self._queue.remove(place)
        if self._closed:
            raise _stopping()
        if not place.done():
            raise NotReadyError("every NTLM helper is taken", retry_after=5)
        return place.result()

    def _sweep(self) -> None:
        """Take back what was held too long; end what died or was idle too long."""
        now = self._clock()
        for hold in [hold for hold, deadline in self._paused.items() if deadline <= now]:
            hold.release()
        while self._idle and (now - self._idle[0][1] > self._idle_s or not self._idle[0][0].alive):
            self._end(self._idle.popleft()[0])
        while self._idle and not self._idle[-1][0].alive:
            self._end(self._idle.pop()[0])

    def _end(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            worker.kill()
            ending = asyncio.get_running_loop().create_task(worker.ended())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


def _stopping() -> NotReadyError:
    return NotReadyError("the server is stopping")
