"""``keyfast mode``: authentication modes of the web access server, switched while it runs."""

from typing import Annotated, Literal

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import Changed, ModeLine, ModeOrder

app = typer.Typer(no_args_is_help=True, help="Authentication modes: how endpoints may authenticate.")

Which = Annotated[Literal["windows", "oauth", "anonymous"], typer.Argument(help="The authentication mode.")]
Ring = Annotated[str, typer.Option(help="Only for the endpoints of this ring; none means all others.")]


@app.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """List the modes that are open."""
    rows = client(data).get("/admin/v1/modes", list[ModeLine])
    if json:
        output.as_json(rows)
        return
    output.table(
        ("RING", "MODE", "SINCE", "OPENED BY"),
        ((escape(row.ring) or "all others", row.mode, output.moment(row.since), escape(row.opened_by)) for row in rows),
        "",
    )


@app.command("open")
def open_(mode: Which, data: Data = None, ring: Ring = "", json: Json = False) -> None:
    """Let endpoints authenticate this way."""
    changed = client(data).post("/admin/v1/modes/open", Changed, ModeOrder(mode, ring))
    _tell(changed, f"{mode} is open", ring, json)


@app.command()
def close(
    mode: Which,
    data: Data = None,
    ring: Ring = "",
    despite_endpoints: Annotated[bool, typer.Option(help="Close it although endpoints use it.")] = False,
    json: Json = False,
) -> None:
    """Refuse endpoints that authenticate this way, from now on."""
    order = ModeOrder(mode, ring, despite_endpoints)
    _tell(client(data).post("/admin/v1/modes/close", Changed, order), f"{mode} is closed", ring, json)


def _tell(changed: Changed, sentence: str, ring: str, json: bool) -> None:
    if json:
        output.as_json(changed)
    else:
        output.console.print(sentence + (f" for the ring {escape(ring)}" if ring else ""))
