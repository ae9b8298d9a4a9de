"""``keyfast simulate``: what becomes of a fleet over months, on the real code, in minutes."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from keyfast.cli import output
from keyfast.cli.options import Json
from keyfast.errors import EXIT_FAILED, UsageError


def simulate(
    scenario: Annotated[list[str] | None, typer.Argument(help="Scenarios by name; none for every one.")] = None,
    agents: Annotated[int, typer.Option(help="Machines that the fleet begins with.", min=1, max=100_000)] = 1000,
    days: Annotated[int, typer.Option(help="Virtual days.", min=1, max=1000)] = 90,
    seed: Annotated[int, typer.Option(help="Of everything that chance decides.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Where the simulated servers keep their data, best in memory.")
    ] = None,
    json: Json = False,
) -> None:
    """Simulate a fleet with the real agent and server in virtual time, and count stranded endpoints."""
    from keyfast.simulation.run import run  # noqa: PLC0415 - the server's rooms are slow to import
    from keyfast.simulation.scenarios import SCENARIOS  # noqa: PLC0415

    unknown = set(scenario or ()) - set(SCENARIOS)
    if unknown:
        raise UsageError(f"no scenario {', '.join(sorted(unknown))}; scenarios: {', '.join(SCENARIOS)}")
    results = []
    columns = (TextColumn("{task.description:>20}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.errors, transient=True) as bar:
        for name in scenario or SCENARIOS:
            task = bar.add_task(name, total=1.0)
            with tempfile.TemporaryDirectory(dir=folder, prefix="keyfast-simulation-") as data:
                results.append(
                    run(
                        name,
                        Path(data),
                        count=agents,
                        days=days,
                        seed=seed,
                        progress=lambda done, task=task: bar.update(task, completed=done),  # type: ignore[misc]
                    )
                )
    if json:
        output.as_json(results)
    else:
        output.table(
            ("SCENARIO", "ENDPOINTS", "DAYS", "CHECK-INS", "MISSED", "STRANDED", "TOOK"),
            (
                (
                    r.scenario,
                    f"{r.endpoints:,}",
                    str(r.days),
                    f"{r.check_ins:,}",
                    f"{r.missed:,}",
                    f"[{'red' if r.stranded else 'green'}]{len(r.stranded)}[/] {' '.join(r.stranded[:5])}".rstrip(),
                    output.span(round(r.seconds)),
                )
                for r in results
            ),
            "",
        )
        for each in results:
            if each.short_of:
                output.banner(f"{each.scenario} shows less than it is there for: {each.short_of}")
    if any(r.stranded or r.short_of for r in results):
        sys.exit(EXIT_FAILED)
