"""``keyfast window``: recovery windows, in which endpoints may ask for recovery without any credential."""

import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from keyfast.cli import output
from keyfast.cli.client import AdminClient
from keyfast.cli.options import Data, Json, client
from keyfast.errors import EXIT_NOT_FINISHED
from keyfast.wire.window import WindowClose, WindowLine, WindowOrder, WindowView

app = typer.Typer(no_args_is_help=True, help="Recovery windows: Anonymous for a time, for recovery only.")

WATCH_SECONDS = 2.0
STATE_COLOUR = {"open": "yellow", "expired": "red", "closed": "green"}
MEMBER_COLOUR = {"unreached": "red", "reached": "yellow", "applied": "cyan"}

Which = Annotated[str, typer.Argument(help="Id of the window; the newest if left out.", show_default=False)]


@app.command("open")
def open_(
    data: Data = None,
    reason: Annotated[str, typer.Option(help="Why; it is shown with every command while the window is open.")] = "",
    minutes: Annotated[int, typer.Option(help="Minutes after which it closes by itself (5 to 10080).")] = 240,
    address: Annotated[
        list[str] | None, typer.Option(help="Address range such as 192.0.2.0/24, or 'any'; repeatable.")
    ] = None,
    account: Annotated[str, typer.Option(help="For the endpoints of this account.")] = "",
    ring: Annotated[str, typer.Option(help="For the endpoints of this ring.")] = "",
    endpoint: Annotated[list[str] | None, typer.Option(help="For this endpoint (id); repeatable.")] = None,
    json: Json = False,
) -> None:
    """Let endpoints ask for recovery without a credential, for a time and from some addresses."""
    order = WindowOrder(reason, minutes, tuple(address or ()), account, ring, tuple(endpoint or ()))
    _show(client(data).post("/admin/v1/windows/open", WindowView, order), json)


@app.command("list")
def list_(data: Data = None, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json: Json = False) -> None:
    """List recovery windows, newest first."""
    rows = client(data).get("/admin/v1/windows", list[WindowLine], {"limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("WINDOW", "STATE", "OPENED", "UNTIL", "FOR", "PROVEN", "MISSING", "REASON"),
        (
            (
                row.id,
                output.coloured(row.state, STATE_COLOUR),
                output.moment(row.opened_at),
                output.moment(row.closed_at or row.deadline),
                escape(whom(row)),
                f"{row.counts.proven:,}",
                f"{row.counts.unproven:,}",
                escape(row.reason),
            )
            for row in rows
        ),
        "No recovery window was ever opened.",
    )


@app.command()
def show(window: Which = "", data: Data = None, json: Json = False) -> None:
    """Show a window, and by name who is missing still."""
    _show(_read(client(data), window), json)


@app.command()
def close(
    window: Which = "",
    data: Data = None,
    waive: Annotated[
        list[str] | None, typer.Option(help="Close it although this endpoint (name or id) is not proven; repeatable.")
    ] = None,
    despite_unproven: Annotated[
        int | None, typer.Option(help="Close it over all that are not proven: how many they are.")
    ] = None,
    json: Json = False,
) -> None:
    """Close a window; refused while endpoints are not proven, unless each is named or their number is typed."""
    order = WindowClose(window, tuple(waive or ()), despite_unproven)
    _show(client(data).post("/admin/v1/windows/close", WindowView, order), json)


@app.command()
def watch(
    window: Which = "",
    data: Data = None,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
) -> None:
    """Follow a window until all its endpoints are proven, it has ended, or Ctrl-C; 3 if some are missing."""
    admin = client(data)
    view = _read(admin, window)
    if once:
        output.console.print(board(view))
    else:
        with Live(board(view), console=output.console, auto_refresh=False) as screen:
            while view.line.state == "open" and view.line.counts.unproven:
                time.sleep(WATCH_SECONDS)
                view = _read(admin, view.line.id)
                screen.update(board(view), refresh=True)
    if view.line.counts.unproven:
        raise typer.Exit(EXIT_NOT_FINISHED)


def _read(admin: AdminClient, window: str) -> WindowView:
    return admin.get("/admin/v1/windows/show", WindowView, {"window": window})


def _show(view: WindowView, json: bool) -> None:
    if json:
        output.as_json(view)
    else:
        output.console.print(board(view), soft_wrap=True)


def whom(line: WindowLine) -> str:
    """Whom a window is for, in words."""
    if line.account:
        return f"endpoints of {line.account}"
    return f"ring {line.ring}" if line.ring else f"{line.endpoints} named endpoints"


def board(view: WindowView) -> Group:
    """Draw a window with its counts and the names of the missing."""
    line, counts = view.line, view.line.counts
    ends = f"until {output.moment(line.deadline)}" if not line.closed_at else f"ended {output.moment(line.closed_at)}"
    head = f"[bold]{line.id}[/]  {output.coloured(line.state, STATE_COLOUR)}  {ends}  {escape(line.reason)}"
    whence = f"  for {escape(whom(line))} from {escape(', '.join(line.ranges))}, opened by {escape(line.opened_by)}"
    told = f"  proven {counts.proven:,}  applied {counts.applied:,}  reached {counts.reached:,}"
    return Group(head, whence, f"{told}  unreached {counts.unreached:,}", *_missing(view))


def _missing(view: WindowView) -> list[Table | str]:
    if not view.missing:
        return []
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("MISSING", "STATE", "SINCE", "ID"):
        table.add_column(column, overflow="fold")
    for row in view.missing:
        table.add_row(escape(row.name), output.coloured(row.state, MEMBER_COLOUR), output.moment(row.since), row.id)
    more = view.line.counts.unproven - len(view.missing)
    return [table, *([f"and {more:,} more"] if more > 0 else [])]
