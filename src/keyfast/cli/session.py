"""``keyfast session``: who is signed in now."""

from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import Changed
from keyfast.wire.people import SessionLine

app = typer.Typer(no_args_is_help=True, help="Browser sessions of people.")


@app.command("list")
def list_(
    data: Data = None,
    limit: Annotated[int, typer.Option(help="How many to print.")] = 100,
    after: Annotated[str, typer.Option(help="Begin after this id.")] = "",
    json: Json = False,
) -> None:
    """List sessions, newest first; one that ends is removed when it is next used."""
    rows = client(data).get("/admin/v1/sessions", list[SessionLine], {"limit": limit, "after": after})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ID", "PERSON", "BEGUN", "SEEN", "FROM"),
        (
            (
                row.id,
                escape(row.person),
                output.moment(row.begun_at),
                output.moment(row.seen_at),
                escape(row.address),
            )
            for row in rows
        ),
        "Nobody is signed in.",
    )


@app.command()
def end(session: Annotated[str, typer.Argument(help="Its id.")], data: Data = None, json: Json = False) -> None:
    """End a session, at once."""
    changed = client(data).post(f"/admin/v1/sessions/{output.in_path(session)}/end", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"session {escape(session)} has ended")
