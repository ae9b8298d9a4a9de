"""``keyfast approval``: acts for which a second person has to agree."""

from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.people import ApprovalLine

app = typer.Typer(no_args_is_help=True, help="Dangerous acts that wait for a second person.")

STATE_COLOUR = {"asked": "yellow", "given": "green", "denied": "red", "used": "dim", "over": "dim"}
Number = Annotated[str, typer.Argument(help="Its id.")]


@app.command("list")
def list_(
    data: Data = None,
    limit: Annotated[int, typer.Option(help="How many to print.")] = 50,
    after: Annotated[str, typer.Option(help="Begin after this id.")] = "",
    json: Json = False,
) -> None:
    """List approvals, newest first."""
    rows = client(data).get("/admin/v1/approvals", list[ApprovalLine], {"limit": limit, "after": after})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ID", "STATE", "ASKED", "BY", "FOR", "REASON", "DECIDED BY"),
        (
            (
                row.id,
                output.coloured(row.state, STATE_COLOUR),
                output.moment(row.asked_at),
                escape(row.asked_by),
                escape(f"{row.permission}: {row.what}"),
                escape(row.reason),
                escape(row.decided_by),
            )
            for row in rows
        ),
        "Nothing waits for a second person.",
    )


@app.command()
def approve(approval: Number, data: Data = None, json: Json = False) -> None:
    """Agree to what somebody else wants to do; they can do it within an hour."""
    _decide(approval, "approve", data, json)


@app.command()
def deny(approval: Number, data: Data = None, json: Json = False) -> None:
    """Do not agree, or not any more."""
    _decide(approval, "deny", data, json)


def _decide(approval: str, act: str, data: Data, json: bool) -> None:
    row = client(data).post(f"/admin/v1/approvals/{output.in_path(approval)}/{act}", ApprovalLine)
    if json:
        output.as_json(row)
        return
    output.console.print(
        f"{output.coloured(row.state, STATE_COLOUR)}: {escape(row.permission)} by {escape(row.asked_by)}"
    )
