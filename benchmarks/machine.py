"""Facts about the machine, and who uses its CPU and memory (Linux, /proc)."""

import os
import platform
import re
import shutil
import sqlite3
import ssl
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

SERVER_CORE = 0
LOAD_CORE = 1
_NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far: by each thread (keyed by process and thread id) and by the whole machine."""

    threads: dict[tuple[int, int], float]
    machine: float


def facts() -> dict[str, str]:
    """What a reader must know to compare numbers: processor, kernel, versions."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl of the load": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "nginx": _first_line("nginx", "-v").rpartition("/")[2],
        **{
            name: version(name) for name in ("granian", "starlette", "sqlalchemy", "asyncpg", "cryptography", "msgspec")
        },
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "none"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def pinned(core: int) -> list[str]:
    """Put before a command to run it on one core, ahead of others where the system allows it."""
    nice = ["nice", "-n", "-15"] if os.geteuid() == 0 else []
    return [*nice, "taskset", "-c", str(core)]


def prefer(pid: int) -> None:
    """Let the session that ``pid`` leads go ahead of others: with autogroups on, nice(1) only counts within one."""
    group = Path(f"/proc/{pid}/autogroup")
    if os.geteuid() == 0 and group.exists():
        group.write_text("-15")


def usage(pids: list[int]) -> Usage:
    """Read the CPU use of processes (scheduler statistics: nanoseconds, no sampling) and of the machine."""
    threads = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                threads[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0]) * _NANO
            except OSError:
                continue  # a thread that has just ended
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return Usage(threads, (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK"))


def used_between(before: Usage, after: Usage) -> dict[int, float]:
    """CPU seconds by process between two readings; threads that ended in between are lost."""
    used: dict[int, float] = {}
    for (pid, thread), seconds in after.threads.items():
        used[pid] = used.get(pid, 0.0) + seconds - before.threads.get((pid, thread), 0.0)
    return used


def family(pid: int) -> dict[int, str]:
    """A process and all its descendants, each with a name a reader understands."""
    root = psutil.Process(pid)
    return {process.pid: label(process) for process in [root, *root.children(recursive=True)]}


def label(process: psutil.Process) -> str:
    """What a reader calls a process."""
    words: list[str] = process.cmdline()
    if "keyfast.server.process" in words:
        return words[words.index("keyfast.server.process") + 1]
    if "server" in words and "run" in words:
        return "supervisor"
    return re.split("[:(]", str(process.name()))[0]


def memory_mb(pid: int) -> float:
    """Proportional set size of a process in MiB; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
