"""Tables and goals of what pages cost."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.pages import MUST_MS, Taken
from benchmarks.report import Goal

REACH_MS = 100.0
SHOWN = 40
"""Rows of the table of the slowest; all are in the JSON."""


def show(console: Console, taken: Sequence[Taken], *, every: bool = False) -> None:
    """Print the slowest requests of each database, or all, and say plainly which miss the goal."""
    for database in dict.fromkeys(one.database for one in taken):
        mine = sorted((one for one in taken if one.database == database), key=lambda one: -one.median)
        table = Table(title=f"pages, {database} (ms)", title_justify="left")
        for name in ("route", "", "first", "median", "p95", "most", "CPU", "KiB"):
            table.add_column(name, justify="left" if name in ("route", "") else "right")
        for one in mine if every else mine[:SHOWN]:
            times = (one.first, one.median, one.p95, max(one.times), one.cpu)
            table.add_row(one.route, one.ask.what, *(f"{time:.0f}" for time in times), f"{one.size / 1024:.0f}")
        console.print(table)
        hidden = 0 if every else max(0, len(mine) - SHOWN)
        console.print(f"{len(mine)} requests; {hidden} that took less are not shown", style="dim")
        for one in mine:
            if one.late:
                console.print(f"MISSES {MUST_MS:.0f} ms: {one.route} {one.ask.path} ({one.median:.0f} ms)")
            if not one.answered:
                console.print(f"NOT ANSWERED as it should be: {one.route} {one.ask.path} ({one.status})")


def goals(taken: Sequence[Taken]) -> list[Goal]:
    """What must hold on each database."""
    found = []
    for database in dict.fromkeys(one.database for one in taken):
        mine = [one for one in taken if one.database == database]
        slowest = max(one.median for one in mine)
        wrong = sum(not one.answered for one in mine)
        found.append(Goal(f"server time of the slowest page, {database}", slowest, MUST_MS, REACH_MS, "ms", 0))
        found.append(Goal(f"pages not answered as they should be, {database}", wrong, 0, 0, "", 0))
    return found


def as_json(taken: Sequence[Taken]) -> list[dict[str, object]]:
    """Every request, for programs."""
    derived = (
        {"median": one.median, "p95": one.p95, "most": max(one.times), "late": one.late, "answered": one.answered}
        for one in taken
    )
    return [asdict(one) | more for one, more in zip(taken, derived, strict=True)]
