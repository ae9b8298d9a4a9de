"""``python -m benchmarks``: fill, start, measure in interleaved rounds, report."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console
from rich.progress import Progress

from benchmarks import (
    crash,
    fill,
    installation,
    machine,
    make_requests,
    measure,
    mechanism_report,
    mechanisms,
    packages,
    page_report,
    pages,
    processes,
    report,
)
from benchmarks.measure import Round, Shape, Target
from keyfast.errors import KeyfastError

PEAK = {"new": 4000, "kept alive": 9000}
"""More check-ins per second than any round will get through on one core: so many requests are made."""
STORAGE_SEQ = 1000
"""Sequence numbers of the storage run begin above those of all requests."""
REPORT_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        databases: to measure check-ins on.
        tries: of a round, while others use the machine.
        mechanisms: what to measure of authentication mechanisms, None for nothing.
        packages: how many packages of each kind to stamp, 0 for none.
        pages: what to measure of pages, None for nothing.
    """

    endpoints: int
    rounds: int
    shapes: tuple[Shape, ...]
    databases: tuple[str, ...]
    tries: int
    mechanisms: mechanisms.Plan | None
    packages: int
    pages: pages.Plan | None

    def requests(self) -> int:
        """How many requests a target can use up, tries that are thrown away included."""
        each = (PEAK.get(shape.name, shape.rate * 1.2) * (shape.warm_s + shape.seconds) for shape in self.shapes)
        return int(sum(each) * (self.rounds + 1)) + PEAK["kept alive"] * 5


@dataclass(slots=True)
class Subject:
    """A server of ours under measurement, and how many of its requests are spent."""

    target: Target
    founded: installation.Founded
    database_pids: list[int] = field(default_factory=list)
    spent: int = 0


@dataclass(frozen=True, slots=True)
class CheckIns:
    """What was measured of check-ins."""

    rounds: list[Round] = field(default_factory=list)
    storage: list[report.Storage] = field(default_factory=list)
    goals: dict[str, list[report.Goal]] = field(default_factory=dict)


def main() -> int:
    """Run the benchmark; exit code 1 if a goal that must be met is missed."""
    options = _options()
    console = Console(stderr=options.json == "-")
    if not console.is_terminal:
        console.width = REPORT_WIDTH
    if (os.cpu_count() or 1) <= machine.LOAD_CORE:
        console.print("this needs two cores: one for the server, one for the load")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave nothing running, nothing on disk
    plan = _plan(options)
    if plan.databases or plan.mechanisms:
        measure.build_load()
    facts = {**machine.facts(), "endpoints": f"{plan.endpoints:,}", "rounds": str(plan.rounds)}
    with TemporaryDirectory(prefix="kf-bench-", ignore_cleanup_errors=True) as name:
        checked = _check_ins(plan, Path(name), console) if plan.databases else CheckIns()
        windows = _mechanisms(plan.mechanisms, Path(name), console) if plan.mechanisms else None
        stamped = _packages(plan.packages, Path(name), console) if plan.packages else []
        looked = pages.run(plan.pages, Path(name), console) if plan.pages else []
    found = checked.goals | ({"mechanisms": windows.goals()} if windows else {})
    found |= {"packages": packages.goals(stamped)} if stamped else {}
    found |= {"pages": page_report.goals(looked)} if looked else {}
    report.show(console, facts, checked.rounds, checked.storage)
    if windows:
        mechanism_report.show(console, windows)
    if stamped:
        packages.show(console, stamped)
    if looked:
        page_report.show(console, looked)
    for target, goals in found.items():
        report.show_goals(console, target, goals)
    if options.json:
        everything = report.as_json(facts, checked.rounds, checked.storage, found)
        everything |= {"authentication": mechanism_report.as_json(windows)} if windows else {}
        everything |= {"packages": packages.as_json(stamped)} if stamped else {}
        everything |= {"pages": page_report.as_json(looked)} if looked else {}
        text = json.dumps(everything, indent=1)
        sys.stdout.write(text + "\n") if options.json == "-" else Path(options.json).write_text(text + "\n")
    if (options.mechanisms and not windows) or (options.packages and not stamped):
        return 2
    return int(any(goal.verdict == "MISSED" for goals in found.values() for goal in goals))


def _check_ins(plan: Plan, folder: Path, console: Console) -> CheckIns:
    """Measure check-ins on each database."""
    with ExitStack() as stack:
        with Progress(console=console, transient=True) as progress:
            subjects = [stack.enter_context(_subject(kind, folder, plan, progress)) for kind in plan.databases]
        baseline = stack.enter_context(_baseline(folder, subjects[0]))
        rounds = _measure(plan, baseline, subjects, console)
        storage = [_storage(subject, plan, rounds) for subject in subjects]
        lost = {subject.target.name: _crash(subject, plan, folder) for subject in subjects}
    found = {one.target.name: report.goals(rounds, storage, lost, one.target.name) for one in subjects}
    return CheckIns(rounds, storage, found)


def _mechanisms(plan: mechanisms.Plan, folder: Path, console: Console) -> mechanism_report.Results | None:
    """Measure authentication mechanisms, where a domain controller can be had."""
    try:
        return mechanisms.run(plan, folder, console)
    except pytest.skip.Exception as reason:
        console.print(f"authentication mechanisms were not measured: {reason.msg}")
        return None


def _packages(count: int, folder: Path, console: Console) -> list[packages.Cost]:
    """Measure packages, where the agent's libraries can be had."""
    try:
        return packages.run(folder, count)
    except KeyfastError as fault:
        console.print(f"packages were not measured: {fault.message}")
        return []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="measure check-ins, packages and pages")
    parser.add_argument("--quick", action="store_true", help="a small fleet and short rounds: to try it out")
    parser.add_argument("--endpoints", type=int, default=1_000_000, help="endpoints already in the tables")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are reported")
    parser.add_argument("--rate", type=float, default=1111, help="check-ins per second of the open loop")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", help="only this one")
    parser.add_argument("--mechanisms", action="store_true", help="only what each authentication mechanism costs")
    parser.add_argument("--packages", action="store_true", help="only what one more package of each kind costs")
    parser.add_argument("--pages", action="store_true", help="only what each page and read of the admin API costs")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON to FILE, - for standard output")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    shapes = (
        Shape("new", 64, keep_alive=False, rate=0, warm_s=0.5 if quick else 1.5, seconds=2 if quick else 6),
        Shape(
            "kept alive",
            128,
            keep_alive=True,
            rate=0,
            warm_s=0.5 if quick else 1,
            seconds=1.5 if quick else 3,
        ),
        Shape("open loop", 2048, keep_alive=False, rate=options.rate, warm_s=1, seconds=2 if quick else 10),
    )
    endpoints, rounds = (min(options.endpoints, 20_000), 1) if quick else (options.endpoints, options.rounds)
    tries = 1 if quick else measure.TRIES
    logons = mechanisms.Plan(endpoints, rounds, tries, shapes[0], reconnecting=2_000 if quick else 10_000)
    both = ("sqlite", "postgresql")
    alone = options.mechanisms or options.packages or options.pages
    everything = not (options.database or alone)
    looked = pages.Plan(endpoints, tuple(options.database or both), 5 if quick else 20)
    return Plan(
        endpoints=endpoints,
        rounds=rounds,
        shapes=shapes,
        databases=() if alone else tuple(options.database or both),
        tries=tries,
        mechanisms=logons if options.mechanisms or everything else None,
        packages=(50 if quick else 1000) if options.packages or everything else 0,
        pages=looked if options.pages or everything else None,
    )


@contextmanager
def _subject(kind: str, folder: Path, plan: Plan, progress: Progress) -> Iterator[Subject]:
    """Found, fill, make requests and start a server on one kind of database."""
    with ExitStack() as stack:
        database_pids, url = [], ""
        if kind == "postgresql":
            pid, url = stack.enter_context(processes.postgres())
            database_pids = [pid]
        port = processes.free_port()
        founded = installation.found(folder / kind, port, url, plan.endpoints)
        task = progress.add_task(f"{kind}: endpoints", total=plan.endpoints)
        fill.fill(founded.url, fill.Fleet(plan.endpoints, founded.maker.now), lambda more: progress.advance(task, more))
        requests, count = folder / f"{kind}.requests", plan.requests()
        task = progress.add_task(f"{kind}: requests", total=count)
        make_requests.make(founded.maker, count, requests, lambda more: progress.advance(task, more))
        pid = stack.enter_context(processes.keyfast(founded.data, port, sys.executable))
        target = Target(f"keyfast, {kind}", port, requests, [pid, *database_pids])
        yield Subject(target, founded, database_pids)


@contextmanager
def _baseline(folder: Path, like: Subject) -> Iterator[Target]:
    """An nginx with the same certificate, asked the same requests."""
    tls = like.founded.data / "tls"
    with processes.nginx(folder / "nginx", tls / "server.pem", tls / "server.key") as (pid, port):
        yield Target(report.BASELINE, port, like.target.requests, [pid], repeat=True)


def _measure(plan: Plan, baseline: Target, subjects: list[Subject], console: Console) -> list[Round]:
    rounds: list[Round] = []
    for shape in plan.shapes:
        for number in range(plan.rounds):
            console.print(f"{shape.name}, round {number + 1} of {plan.rounds}", style="dim")
            for target, subject in [(baseline, None), *((one.target, one) for one in subjects)]:
                rounds.append(_quiet_round(target, shape, subject, plan.tries))
                console.print(f"  {report.brief(rounds[-1])}", style="dim")
    return rounds


def _quiet_round(target: Target, shape: Shape, subject: Subject | None, tries: int) -> Round:
    def attempt() -> Round:
        found = measure.run(target, shape, subject.spent if subject else 0)
        if subject:
            subject.spent = int(found.load["next"])
        return found

    return measure.quiet(attempt, lambda one: one.foreign, tries)


def _storage(subject: Subject, plan: Plan, rounds: list[Round]) -> report.Storage:
    """CPU of writer and database alone at the open-loop rate, less that of the loop that feeds it."""
    shape = plan.shapes[-1]
    arguments = [
        subject.founded.url,
        str(shape.rate),
        str(shape.seconds),
        str(plan.endpoints),
        str(STORAGE_SEQ),
    ]
    command = [*machine.pinned(machine.SERVER_CORE), sys.executable, "-m", "benchmarks.storage", *arguments]

    def cost(*extra: str) -> float:
        seen = measure.observe([*command, *extra], subject.database_pids, itself=True)
        if seen.report["bad"]:
            raise RuntimeError(f"{seen.report['bad']} check-ins were refused by the writer")
        return sum(seen.cpu_s.values()) * 1e6 / float(seen.report["answered"])

    whole = report.of(rounds, subject.target.name, shape.name)
    return report.Storage(subject.target.name, cost() - cost("--nothing"), report.mid(whole, lambda one: one.total_us))


def _crash(subject: Subject, plan: Plan, folder: Path) -> int:
    """Acknowledged check-ins lost by kill -9; the server is not started again."""
    shape = Shape("crash", 128, keep_alive=True, rate=0, warm_s=0, seconds=20)
    heard = crash.kill_under_load(subject.target, shape, subject.spent, folder / "acknowledged")
    if not heard:
        raise RuntimeError("nothing was acknowledged before the kill: nothing was tested")
    return crash.lost_now(subject.founded.url, heard, plan.endpoints)


if __name__ == "__main__":
    sys.exit(main())
