"""``keyfast policy``: what all endpoints are told to follow."""

from typing import Annotated

import typer

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire import limits
from keyfast.wire.policy import PolicyOrder, PolicyView

app = typer.Typer(no_args_is_help=True, help="The policy that endpoints follow.")


@app.command()
def show(data: Data = None, json: Json = False) -> None:
    """Show the policy in force, and the load that it makes."""
    _tell(client(data).get("/admin/v1/policy", PolicyView), json)


@app.command("set")
def set_(
    check_in_every: Annotated[
        int,
        typer.Option(
            help="Seconds between the check-ins of an endpoint.", min=limits.MIN_INTERVAL, max=limits.MAX_INTERVAL
        ),
    ],
    data: Data = None,
    json: Json = False,
) -> None:
    """Put another policy in force: each endpoint takes it with its next check-in, which is due by the old one."""
    _tell(client(data).post("/admin/v1/policy", PolicyView, PolicyOrder(check_in_every)), json)


def _tell(found: PolicyView, json: bool) -> None:
    if json:
        output.as_json(found)
        return
    output.table(
        ("", ""),
        (
            ("version", f"{found.version} since {output.moment(found.since)}"),
            ("check-ins", f"every {output.span(found.check_in_interval_s)} from each endpoint"),
            ("load", f"{found.check_ins_per_second:,.1f} a second; endpoints: {found.endpoints:,}"),
        ),
        "",
    )
