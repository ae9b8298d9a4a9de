"""Medians, ratios and goals, as tables for people and JSON for programs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Round

BASELINE = "nginx"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal, what was measured for it (None: not measured in this run), and its unit.

    Attributes:
        what: the quantity.
        must: it may not be above this; ``reach``: better than this is what we want.
        digits: decimals shown.
    """

    what: str
    value: float | None
    must: float
    reach: float
    unit: str = ""
    digits: int = 2

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.value is None:
            return "not measured"
        if self.value <= self.reach:
            return "reached"
        return "met" if self.value <= self.must else "MISSED"


@dataclass(frozen=True, slots=True)
class Storage:
    """Cost of storage at the open-loop rate, in microseconds of CPU per check-in."""

    target: str
    writer_us: float
    total_us: float

    @property
    def share(self) -> float:
        """Part of the whole."""
        return self.writer_us / self.total_us


def mid(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    """Median over rounds."""
    return median(value(one) for one in rounds)


def ratio(rounds: Sequence[Round], target: str, shape: str) -> float | None:
    """CPU relative to the baseline: the median of the ratios within each interleaved round."""
    ours, base = of(rounds, target, shape), of(rounds, BASELINE, shape)
    pairs = list(zip(ours, base, strict=False))
    return median(one.total_us / other.total_us for one, other in pairs) if pairs else None


def of(rounds: Iterable[Round], target: str, shape: str) -> list[Round]:
    """Rounds of one target and shape, in order."""
    return [one for one in rounds if (one.target, one.shape) == (target, shape)]


def goals(rounds: Sequence[Round], storage: Sequence[Storage], lost: dict[str, int], target: str) -> list[Goal]:
    """The goals of docs/adr and the benchmarks' README, for one target."""
    open_loop = of(rounds, target, "open loop")
    shares = [one.share * 100 for one in storage if one.target == target]
    p99 = mid(open_loop, lambda one: one.load["p99_ms"]) if open_loop else None
    memory = [one.memory_mb["check-in"] for one in rounds if one.target == target and "check-in" in one.memory_mb]
    return [
        Goal("CPU of a check-in, new TLS connection, to nginx static", ratio(rounds, target, "new"), 1.3, 1.0),
        Goal("CPU of a check-in, kept alive, to nginx static", ratio(rounds, target, "kept alive"), 14, 8),
        Goal("storage share of CPU at the open-loop rate", shares[0] if shares else None, 25, 15, "%", 0),
        Goal("p99 at the open-loop rate, one core", p99, 50, 15, "ms", 1),
        Goal("memory of the check-in process", max(memory, default=None), 200, 120, "MiB", 0),
        Goal("acknowledged check-ins lost by kill -9 under load", lost.get(target), 0, 0, "", 0),
    ]


def show(console: Console, facts: dict[str, str], rounds: Sequence[Round], storage: Sequence[Storage]) -> None:
    """Print machine facts and one table of medians for each shape."""
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim")
    for shape in dict.fromkeys(one.shape for one in rounds):
        table = Table(title=f"{shape} (median of rounds, CPU in microseconds per answer)", title_justify="left")
        for name in (
            "server",
            "answers/s",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "to nginx",
            "of which",
            "MiB",
            "foreign",
        ):
            table.add_column(name, justify="left" if name in ("server", "of which") else "right")
        for target in dict.fromkeys(one.target for one in rounds if one.shape == shape):
            table.add_row(*_row(rounds, target, shape))
        console.print(table)
    for one in storage:
        console.print(f"storage, {one.target}: {one.writer_us:.0f} of {one.total_us:.0f} us a check-in, open loop")


def brief(one: Round) -> str:
    """One round in one line, for who watches."""
    load = one.load
    return (
        f"{one.target}: {load['per_second']:,.0f}/s, p99 {load['p99_ms']:.1f} ms, "
        f"{one.total_us:.0f} us, foreign {one.foreign:.0%}"
    )


def _row(rounds: Sequence[Round], target: str, shape: str) -> list[str]:
    mine = of(rounds, target, shape)
    names = sorted({name for one in mine for name in one.cpu_us})
    split = [f"{name} {mid(mine, lambda one, name=name: one.cpu_us.get(name, 0.0)):.0f}" for name in names]  # type: ignore[misc]
    relative = ratio(rounds, target, shape)
    return [
        target if all(one.good for one in mine) else f"{target} (not all were answered with 200)",
        f"{mid(mine, lambda one: one.load['per_second']):,.0f}",
        f"{mid(mine, lambda one: one.load['p50_ms']):.1f}",
        f"{mid(mine, lambda one: one.load['p99_ms']):.1f}",
        f"{mid(mine, lambda one: one.total_us):.0f}",
        "" if relative is None else f"{relative:.2f}",
        ", ".join(split),
        f"{mid(mine, lambda one: sum(one.memory_mb.values())):.0f}",
        f"{mid(mine, lambda one: one.foreign):.0%}",
    ]


def show_goals(console: Console, target: str, found: Sequence[Goal]) -> None:
    """Print the goals of one target."""
    table = Table(title=f"goals, {target}", title_justify="left")
    for name in ("goal", "measured", "must", "reach for", ""):
        table.add_column(name, justify="left" if name in ("goal", "") else "right")
    for goal in found:
        value = "-" if goal.value is None else f"{goal.value:.{goal.digits}f} {goal.unit}".strip()
        table.add_row(goal.what, value, f"{goal.must:g} {goal.unit}", f"{goal.reach:g} {goal.unit}", goal.verdict)
    console.print(table)


def as_json(
    facts: dict[str, str], rounds: Sequence[Round], storage: Sequence[Storage], found: dict[str, list[Goal]]
) -> dict[str, object]:
    """Everything, raw rounds included."""
    return {
        "machine": facts,
        "rounds": [asdict(one) for one in rounds],
        "storage": [{**asdict(one), "share": one.share} for one in storage],
        "goals": {
            target: [{**asdict(goal), "verdict": goal.verdict} for goal in mine] for target, mine in found.items()
        },
    }
