"""One round: put load on a server and see what it cost."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import machine

FOLDER = Path(__file__).resolve().parent
LOAD = FOLDER / "build" / "load"
MAX_FOREIGN = 0.06
TRIES = 3
Attempt = TypeVar("Attempt")


@dataclass(frozen=True, slots=True)
class Shape:
    """How load is put on a server.

    Attributes:
        name: for the tables.
        connections: open at the same time at most.
        keep_alive: connections are used again; otherwise each request makes a full TLS handshake.
        rate: requests per second in an open loop, 0 for a closed loop.
        warm_s: seconds before the window; ``seconds``: its length.
    """

    name: str
    connections: int
    keep_alive: bool
    rate: float
    warm_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """A server under measurement.

    Attributes:
        port: where it listens on 127.0.0.1.
        requests: file of requests; ``repeat``: it does not mind hearing them twice.
        pids: roots of all its processes, the database's included.
        driver: program that puts the load on, where it is not the usual one; it takes the same options.
    """

    name: str
    port: int
    requests: Path
    pids: Sequence[int]
    repeat: bool = False
    driver: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave.

    Attributes:
        cpu_us: server CPU per answer by kind of process, in microseconds.
        memory_mb: proportional set size by kind of process at the end of the window.
        foreign: share of the machine's CPU that neither the server nor the load used.
        load: what the load generator reported.
    """

    target: str
    shape: str
    cpu_us: dict[str, float]
    memory_mb: dict[str, float]
    foreign: float
    load: dict[str, float]
    status: dict[str, int] = field(default_factory=dict)

    @property
    def total_us(self) -> float:
        """Server CPU per answer, all processes."""
        return sum(self.cpu_us.values())

    @property
    def good(self) -> bool:
        """Whether everything that was asked was answered with 200."""
        return set(self.status) == {"200"} and not self.load["failed"] and not self.load["unfinished"]


def quiet(attempt: Callable[[], Attempt], foreign: Callable[[Attempt], float], most: int = TRIES) -> Attempt:
    """Measure; try again while others use the machine, ``most`` times in all. The quietest try counts."""
    tries: list[Attempt] = []
    while not tries or (foreign(tries[-1]) > MAX_FOREIGN and len(tries) < most):
        tries.append(attempt())
    return min(tries, key=foreign)


def build_load() -> None:
    """Compile the load generator when its source is newer."""
    sources = sorted((FOLDER / "load").glob("*.[ch]"))
    if LOAD.exists() and LOAD.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    LOAD.parent.mkdir(exist_ok=True)
    flags = ["-O2", "-Wall", "-Wextra"]
    subprocess.run(
        [
            "gcc",
            *flags,
            "-o",
            LOAD,
            *(source for source in sources if source.suffix == ".c"),
            "-lcrypto",
            "-lm",
        ],
        check=True,
    )


def load_command(target: Target, shape: Shape, first: int) -> list[str]:
    """Argument vector of the load generator, on its own core."""
    command = [*machine.pinned(machine.LOAD_CORE), *(target.driver or [str(LOAD)]), "--port", str(target.port)]
    command += ["--requests", str(target.requests), "--first", str(first)]
    command += ["--connections", str(shape.connections), "--rate", str(shape.rate)]
    command += ["--warm", str(shape.warm_s), "--seconds", str(shape.seconds)]
    command += ["--keep-alive"] if shape.keep_alive else []
    return [*command, *(["--repeat"] if target.repeat else [])]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a watched window gave: CPU seconds and memory by kind of process, and the watcher's last line."""

    cpu_s: dict[str, float]
    memory_mb: dict[str, float]
    machine_s: float
    report: dict[str, Any]


def observe(command: Sequence[str], roots: Sequence[int], *, itself: bool = False) -> Observed:
    """Run a command that prints START, END and one line of JSON; watch processes in between.

    Args:
        command: argument vector.
        roots: process ids; their descendants are watched too.
        itself: watch the command as well.
    """
    names: dict[int, str] = {}
    readings: list[machine.Usage] = []
    memory: dict[str, float] = {}
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        machine.prefer(process.pid)
        for line in process.stdout or []:
            last = line
            if line.startswith(("START", "END")):
                for root in [*roots, *([process.pid] if itself else [])]:
                    names.update(machine.family(root))
                readings.append(machine.usage(list(names)))
            if line.startswith("END"):
                memory = _memory(names)
    if len(readings) != 2 or not last.startswith("{"):
        raise RuntimeError(f"{command}: ended early (exit code {process.returncode})")
    cpu_s: dict[str, float] = {}
    for pid, seconds in machine.used_between(readings[0], readings[1]).items():
        cpu_s[names[pid]] = cpu_s.get(names[pid], 0.0) + seconds
    return Observed(cpu_s, memory, readings[1].machine - readings[0].machine, json.loads(last))


def _memory(names: dict[int, str]) -> dict[str, float]:
    memory: dict[str, float] = {}
    for pid, name in names.items():
        memory[name] = memory.get(name, 0.0) + machine.memory_mb(pid)
    return memory


def run(target: Target, shape: Shape, first: int) -> Round:
    """Run one round, beginning with request number ``first``."""
    seen = observe(load_command(target, shape, first), target.pids)
    load = seen.report
    status = load.pop("status")
    answered = max(1, load["answered"])
    known = sum(seen.cpu_s.values()) + load["client_cpu_s"]
    return Round(
        target=target.name,
        shape=shape.name,
        cpu_us={name: seconds * 1e6 / answered for name, seconds in seen.cpu_s.items()},
        memory_mb=seen.memory_mb,
        foreign=max(0.0, seen.machine_s - known) / load["seconds"] / (os.cpu_count() or 1),
        load=load,
        status=status,
    )
