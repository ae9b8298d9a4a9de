"""Run a system tool: no shell, nothing to read from, the C locale, bounded time and output."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

TIMED_OUT = 124
FLOODED = 125
REFUSED = 126
MISSING = 127
"""Codes of outcomes that are not the tool's own, as shells number them."""

MAX_OUTPUT = 4 * 1024 * 1024
_GRACE_S = 1.0
_DENIED = (b"denied", b"not permitted", b"permission", b"must be root", b"superuser")
# The rest of the environment may hold secrets and is nobody's business.
_INHERITED = ("PATH", "PATHEXT", "SYSTEMROOT", "WINDIR", "COMSPEC", "PROGRAMFILES", "PSMODULEPATH", "TEMP")


@dataclass(frozen=True, slots=True)
class Result:
    """How a tool ended. Output may hold recovery keys: it is not part of the representation."""

    code: int
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


class CommandRunner(Protocol):
    """Runs tools that only read."""

    def run(self, argv: Sequence[str], *, timeout: float = 20) -> Result:
        """Run ``argv`` for at most ``timeout`` seconds; never raises for a tool that fails or is missing."""
        ...


def why(tool: str, result: Result) -> str:
    """Say in one sentence why ``result`` of ``tool`` is of no use, without quoting its output."""
    own = {
        TIMED_OUT: f"{tool} did not finish in time",
        FLOODED: f"{tool} said more than it should",
        REFUSED: f"{tool} could not be started",
        MISSING: f"{tool} is not installed",
        0: f"{tool} gave no answer that could be read",
    }
    if result.code in own:
        return own[result.code]
    said = (result.stdout + result.stderr).lower()
    if any(word in said for word in _DENIED):
        return f"{tool} was denied access"
    return f"{tool} failed with code {result.code}"


class SystemRunner:
    """Runs tools of this machine, found on PATH and in the administrator's folders.

    Args:
        max_output: bytes of each stream; a tool that says more is killed and counts as failed.
    """

    def __init__(self, *, max_output: int = MAX_OUTPUT) -> None:
        self._max_output = max_output

    def run(self, argv: Sequence[str], *, timeout: float = 20) -> Result:
        """See ``CommandRunner.run``."""
        try:
            process = _start(argv)
        except FileNotFoundError:
            return Result(MISSING)
        except OSError:
            return Result(REFUSED)
        return self._attend(process, time.monotonic() + timeout)

    def _attend(self, process: subprocess.Popen[bytes], deadline: float) -> Result:
        outputs = [_Output(stream, self._max_output, process) for stream in (process.stdout, process.stderr)]
        if not _over(process, outputs, deadline):
            _kill(process)
            # What waits for a dead disk cannot be killed; then it and its readers are left behind.
            _over(process, outputs, time.monotonic() + _GRACE_S)
            return Result(TIMED_OUT)
        if any(output.flooded for output in outputs):
            return Result(FLOODED)
        return Result(process.returncode, outputs[0].data, outputs[1].data)


class _Output:
    """One stream of a process, read to its end beside us."""

    def __init__(self, stream: IO[bytes] | None, limit: int, process: subprocess.Popen[bytes]) -> None:
        self.data = b""
        self.flooded = False
        self._thread = threading.Thread(target=self._read, args=(stream, limit, process), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes], limit: int, process: subprocess.Popen[bytes]) -> None:
        with stream:
            data = stream.read(limit + 1)
            self.flooded = len(data) > limit
            if self.flooded:
                _kill(process)
        self.data = data[:limit]

    def over(self, deadline: float) -> bool:
        """Return whether the stream ended before ``deadline`` (monotonic seconds)."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        # Its own group, so that killing it also kills what it started and what holds our pipes.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    if sys.platform != "win32":
        environment["PATH"] = environment.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    return environment | {"LC_ALL": "C", "LANG": "C"}


def _over(process: subprocess.Popen[bytes], outputs: Iterable[_Output], deadline: float) -> bool:
    """Return whether all ended before ``deadline``; the process is reaped last, so its id stays ours."""
    try:
        return all(output.over(deadline) for output in outputs) and _reaped(process, deadline)
    except subprocess.TimeoutExpired:
        return False


def _reaped(process: subprocess.Popen[bytes], deadline: float) -> bool:
    process.wait(max(0.0, deadline - time.monotonic()))
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
