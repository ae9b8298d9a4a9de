"""``keyfast events``: what happened, newest first."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import EventLine


def events(
    data: Data = None,
    before: Annotated[int, typer.Option(help="Only events with a lower number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 50,
    json: Json = False,
) -> None:
    """List what happened to endpoints, accounts, packages and the installation."""
    rows = client(data).get("/admin/v1/events", list[EventLine], {"before": before, "limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NUMBER", "WHEN", "WHAT", ""),
        ((str(row.id), output.moment(row.at), row.kind, escape(described(row.detail, row.endpoint))) for row in rows),
        "Nothing has happened yet.",
    )


def described(detail: Mapping[str, Any], endpoint: str = "") -> str:
    """The particulars of an event on one line."""
    known = {"endpoint": endpoint, **detail}
    return "  ".join(f"{name} {_text(value)}" for name, value in known.items() if value not in ("", None, []))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
