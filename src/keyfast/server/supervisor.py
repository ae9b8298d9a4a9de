"""Keep the processes of a server running: start, restart with back-off, stop."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from keyfast.core import schedule

STOP_SECONDS = 10.0
HEALTHY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running.

    Attributes:
        name: for the log.
        command: argument vector; the first element is an absolute path.
        log: file that gets its output, or None to inherit ours.
    """

    name: str
    command: Sequence[str]
    log: Path | None = None


def python(module: str, *arguments: str) -> list[str]:
    """Argument vector that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


class Supervisor:
    """Runs children until ``stop``; one that ends is started again, more slowly each time."""

    def __init__(self, log: Any, chance: Callable[[], float]) -> None:
        self._log = log
        self._chance = chance
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, child: Child) -> None:
        """Start a child and keep it running."""
        self._tasks.append(asyncio.create_task(self._keep(child), name=child.name))

    def stop(self) -> None:
        """Ask all children to end."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Wait until ``stop`` was called and every child has ended."""
        await self._stopping.wait()
        await asyncio.gather(*self._tasks)

    async def _keep(self, child: Child) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            lived = asyncio.get_running_loop().time() - started
            failures = 1 if lived > HEALTHY_SECONDS else failures + 1
            pause = schedule.backoff(failures, self._chance(), base=0.5, cap=30.0)
            self._log.error("child_ended", child=child.name, code=code, seconds=round(pause, 1))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_once(self, child: Child) -> int:
        with _output(child.log) as output:
            process = await asyncio.create_subprocess_exec(
                *python("keyfast.server.child", str(os.getpid())),
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._log.info("child_started", child=child.name, pid=process.pid)
        ended = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await _end(process, ended)
        return await ended


async def _end(process: asyncio.subprocess.Process, ended: "asyncio.Future[int]") -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
    if not ended.done():
        with contextlib.suppress(ProcessLookupError):
            process.kill()


@contextlib.contextmanager
def _output(path: Path | None) -> Any:
    if path is None:
        yield None
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file: IO[bytes]
    with path.open("ab") as file:
        yield file
