"""A few connections, kept and shared: never more than so many, and never more callers waiting than so many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from keyfast.directory.connection import Connection
from keyfast.errors import NotReadyError

T = TypeVar("T")


class Pool:
    """Connections to one domain controller for one purpose.

    Args:
        server: its name, for messages.
        opening: makes a connection, ready for use.
        size: connections at most.
        waiting: callers that may wait for one.
        timeout_s: seconds to wait for a connection, and again for the work on it.
    """

    def __init__(
        self, server: str, opening: Callable[[], Awaitable[Connection]], *, size: int, waiting: int, timeout_s: float
    ) -> None:
        self._server = server
        self._opening = opening
        self._free = asyncio.Semaphore(size)
        self._room = size + waiting
        self._callers = 0
        self._timeout = timeout_s
        self._idle: list[Connection] = []
        self._closed = False

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do ``work`` on a connection; on a new one once more if a kept one turns out to be dead.

        Raises:
            NotReadyError: too many wait already, or the domain controller is down or too slow.
        """
        if self._callers >= self._room or self._closed:
            raise NotReadyError(f"too many calls wait for {self._server}", retry_after=5)
        self._callers += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._attempt(work)
            finally:
                self._free.release()
        except TimeoutError:
            raise NotReadyError(f"{self._server} did not answer within {self._timeout:g} s") from None
        finally:
            self._callers -= 1

    async def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back."""
        self._closed = True
        self._drop_idle()

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        kept = self._take()
        if kept is not None:
            try:
                return await self._use(kept, work)
            except NotReadyError:
                # It died while idle, and so did the others.
                self._drop_idle()
        return await self._use(await self._opening(), work)

    async def _use(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            result = await work(connection)
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)
        return result

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            connection.close()
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
