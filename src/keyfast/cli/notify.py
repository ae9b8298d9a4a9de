"""``keyfast notify``: what people were told by webhook and e-mail, and a test of both."""

from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.core.visible import visible
from keyfast.wire.notification import NotificationLine

app = typer.Typer(no_args_is_help=True, help="Notifications by webhook and e-mail.")

STATE_COLOUR = {"sent": "green", "pending": "yellow", "failed": "red", "unaddressed": "dim"}


@app.command("list")
def list_(
    data: Data = None,
    before: Annotated[int, typer.Option(help="Only messages with a lower number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 50,
    json: Json = False,
) -> None:
    """List what was told, newest first, and whether it arrived."""
    rows = client(data).get("/admin/v1/notifications", list[NotificationLine], {"before": before, "limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(("NUMBER", "WHEN", "STATE", "REACHED", "", ""), map(_cells, rows), "Nobody was told anything.")


@app.command("test")
def try_(data: Data = None, json: Json = False) -> None:
    """Send every receiver a test; look at the list for whether it arrived."""
    made = client(data).post("/admin/v1/notifications/test", NotificationLine)
    if json:
        output.as_json(made)
        return
    output.console.print(f"message {made.id} is on its way; then: keyfast notify list")


def _cells(row: NotificationLine) -> tuple[str, ...]:
    return (
        str(row.id),
        output.moment(row.at),
        output.coloured(row.state, STATE_COLOUR),
        ", ".join(row.reached),
        escape(visible(row.title)),
        escape(visible(row.trouble)),
    )
