"""``keyfast incident``: which silences there are, why, and what can be done."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from keyfast.cli import output
from keyfast.cli.diagnose_text import finding as show_finding
from keyfast.cli.diagnose_text import moment
from keyfast.cli.options import Data, Json, client
from keyfast.core.incident import Point
from keyfast.core.protection import Disks
from keyfast.errors import NotFoundError
from keyfast.wire.incident import HoldingLine, IncidentLine, IncidentView, OptionLine, RollCallView

app = typer.Typer(no_args_is_help=True, help="Incidents: who fell silent together, why, and what can be done.")

STATE_COLOUR = {"open": "red", "recovering": "yellow", "resolved": "green", "given_up": "dim", "merged": "dim"}
_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48

Which = Annotated[str, typer.Argument(help="Id of the incident; the newest if left out.", show_default=False)]


@app.command("list")
def list_(
    data: Data = None,
    before: Annotated[str, typer.Option(help="Only incidents before this one (id).")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List incidents, newest first."""
    rows = client(data).get("/admin/v1/incidents", list[IncidentLine], {"before": before, "limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("INCIDENT", "STATE", "SINCE", "SILENT", "MOST", "IN COMMON", "CAUSE"),
        (
            (
                row.id,
                output.coloured(row.state, STATE_COLOUR),
                moment(row.began_at),
                f"{row.silent:,} of {row.endpoints:,}",
                f"{row.most:,}",
                escape(row.told),
                escape(row.sentence),
            )
            for row in rows
        ),
        "No incident was ever opened.",
    )


@app.command()
def show(incident: Which = "", data: Data = None, json: Json = False) -> None:
    """Show an incident: since when, whom, what they have in common, why, and what can be done."""
    admin = client(data)
    if not incident:
        newest = admin.get("/admin/v1/incidents", list[IncidentLine], {"limit": 1})
        if not newest:
            raise NotFoundError("no incident was ever opened")
        incident = newest[0].id
    view = admin.get(f"/admin/v1/incidents/{incident}", IncidentView)
    if json:
        output.as_json(view)
    else:
        draw(view, output.console)


@app.command()
def close(
    incident: Annotated[str, typer.Argument(help="Id of the incident.")], data: Data = None, json: Json = False
) -> None:
    """End an incident whose endpoints will not come back; their silence opens no other."""
    line = client(data).post(f"/admin/v1/incidents/{incident}/close", IncidentLine)
    if json:
        output.as_json(line)
    else:
        output.console.print(f"{line.id}  {output.coloured(line.state, STATE_COLOUR)}")


@app.command("roll-call")
def roll_call(
    data: Data = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Groups of a kind.")] = 10,
    json: Json = False,
) -> None:
    """Show whom the last roll call found silent, by what they have in common."""
    view = client(data).get("/admin/v1/roll-call", RollCallView, {"limit": limit})
    if json:
        output.as_json(view)
        return
    output.table(
        ("IN COMMON", "WHICH", "ENDPOINTS", "SILENT", "NEVER CAME", "USUALLY SILENT"),
        (
            (row.group, escape(row.name), f"{row.endpoints:,}", f"{row.silent:,}", f"{row.never:,}", f"{row.usual:.0%}")
            for row in view.groups
        ),
        "Nobody was counted yet.",
    )
    if view.counted_at:
        when = moment(view.counted_at)
        output.console.print(f"{view.silent:,} of {view.endpoints:,} endpoints were silent at the roll call of {when}")
        disks = ", ".join(f"{view.disks.get(word, 0):,} {word}" for word in Disks)
        output.console.print(f"disks: {disks}")


def draw(view: IncidentView, console: Console) -> None:
    """Print an incident."""
    line = view.line
    console.print(f"[bold]{line.id}[/]  {output.coloured(line.state, STATE_COLOUR)}", soft_wrap=True)
    ended = f", ended {moment(line.ended_at)}" if line.ended_at else ""
    _say(console, f"since {moment(line.began_at)} (within {output.span(line.width_s)}){ended}")
    _say(console, f"silent {line.silent:,} of {line.endpoints:,}, at most {line.most:,}: {_names(view)}")
    _say(console, f"in common: {line.told}")
    for held in view.holdings:
        _say(console, _held(held), "red" if held.accepted is False else "")
    for row in _timeline(view.course):
        _say(console, row, "cyan")
    for number, found in enumerate(view.findings):
        # Where the ways out were counted, those of the rule are not told as well.
        told = msgspec.structs.replace(found, options=()) if view.options else found
        show_finding(told, console, full=number == 0)
    if view.options:
        console.print(Text("\n  what can be done", "bold"))
    for number, option in enumerate(view.options, 1):
        _option(number, option, console)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Padding(Text(text, style), (0, 0, 0, 2), expand=False))


def _names(view: IncidentView) -> str:
    more = view.line.silent - len(view.names)
    return ", ".join(view.names) + (f" and {more:,} more" if more > 0 else "")


def _held(held: HoldingLine) -> str:
    return f"they hold {held.held}; the server accepts {held.accepts}"


def _timeline(course: Sequence[Point]) -> Iterator[str]:
    """A line of bars from the beginning until now, each as high as the silent were many."""
    if len(course) < 2:  # noqa: PLR2004 - a line needs two ends
        return
    first, last, most = course[0].at, course[-1].at, max(point.silent for point in course) or 1
    span = max(last - first, 1)
    bars = ""
    for column in range(_WIDTH):
        at = first + span * column / (_WIDTH - 1)
        silent = [point.silent for point in course if point.at <= at][-1]
        bars += _BARS[-(-silent * (len(_BARS) - 1) // most)]
    yield f"silent  {bars}  {course[-1].silent:,}"
    yield f"        {moment(first)} to {moment(last)}"


def _option(number: int, option: OptionLine, console: Console) -> None:
    back = f"brings back {option.endpoints:,}" if option.available else "not now"
    _say(console, f"{number}. {option.way} ({back}): {option.sentence}", "" if option.available else "dim")
    if option.command:
        console.print(Text(f"       {option.command}", "cyan"), soft_wrap=True)
