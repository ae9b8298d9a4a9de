"""Start real processes and end exactly those."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

DEADLINE = 40.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: ours, without an operator's own Keyfast settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYFAST_")}
    return kept | more


def start(module: str, *arguments: str, log: Path, prefix: Sequence[str] = (), **env: str) -> subprocess.Popen[bytes]:
    """Start one of our modules as a process of its own session."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment(**env),
        )


def run(
    module: str, *arguments: str, stdin: str = "", prefix: Sequence[str] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run one of our modules to its end."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", module, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
        env=environment(**env),
    )


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """End a process, and whatever is left of its session."""
    if process.poll() is None and number != signal.SIGKILL:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(15)


def command_line(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has ended meanwhile, waited for or not."""
    with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
        return process.cmdline()
    return []


Result = TypeVar("Result")


def until(read: Callable[[], Result | None], what: str, deadline: float = DEADLINE) -> Result:
    """Ask again until the answer is not None (or False); fail with ``what`` when the time is over."""
    end = time.monotonic() + deadline
    while True:
        found = read()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < end, f"waited {deadline} s for {what}"
        time.sleep(0.05)
