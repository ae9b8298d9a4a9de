"""``keyfast forecast``: what will end, when, and how many endpoints it would leave behind."""

from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.incident import EndingLine, ForecastView

_WEEK, _MONTH = 7, 30


def forecast(
    data: Data = None,
    days: Annotated[int, typer.Option(min=0, help="Only what ends within so many days; 0 is everything.")] = 90,
    json: Json = False,
) -> None:
    """List everything that will end: passwords, certificates, tokens, windows; with whom it strands and what helps."""
    view = client(data).get("/admin/v1/forecast", ForecastView, {"days": days} if days else {})
    if json:
        output.as_json(view)
        return
    output.table(
        ("WHEN", "DAYS", "STRANDS", "WHAT", "THEN", "PREVENTED BY"),
        (
            (
                output.moment(row.at, view.at),
                _coloured(row),
                f"{row.strands:,}" if row.strands else "",
                escape(f"{row.thing} {row.name}"),
                escape(row.sentence),
                escape(row.command),
            )
            for row in view.endings
        ),
        f"Nothing ends within {days} days." if days else "Nothing ends.",
    )


def _coloured(row: EndingLine) -> str:
    colour = "red" if row.days < _WEEK else "yellow" if row.days < _MONTH else ""
    return f"[{colour}]{row.days:,}[/]" if colour and row.strands else f"{row.days:,}"
