"""``keyfast package create|list|revoke``."""

from typing import Annotated, Literal

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import Changed, PackageLine, PackageOrder

Admission = Literal["auto", "approve"]
Mode = Literal["oauth", "windows"]
DAYS = {"oauth": 30, "windows": 730}
"""A Windows package is as old as its account: it is renewed when the account is."""

app = typer.Typer(no_args_is_help=True, help="Packages: what installs the agent and lets it enrol.")


@app.command()
def create(
    data: Data = None,
    ring: Annotated[str, typer.Option(help="Set of endpoints it is for.")] = "default",
    admission: Annotated[Admission, typer.Option(help="Let endpoints in by themselves, or each by hand.")] = "auto",
    days: Annotated[
        int | None, typer.Option(help="How long it may enrol endpoints; 30 by default, 730 in Windows mode.")
    ] = None,
    max_uses: Annotated[int, typer.Option(help="How many endpoints may enrol with it.")] = 1000,
    mode: Annotated[Mode, typer.Option(help="How its endpoints authenticate.")] = "oauth",
    account: Annotated[str, typer.Option(help="In Windows mode: the client authentication account inside.")] = "",
    json: Json = False,
) -> None:
    """Build a package with an enrolment token of its own."""
    order = PackageOrder(ring, admission, DAYS[mode] if days is None else days, max_uses, mode, account)
    made = client(data).post("/admin/v1/packages", PackageLine, order)
    if json:
        output.as_json(made)
        return
    output.console.print(f"package [bold]{made.id}[/], ring {escape(made.ring)}, admission {made.admission}")
    inside = f", with credential generation {made.generation} of {escape(made.account)}" if made.account else ""
    output.console.print(f"  mode {made.mode}{inside}", soft_wrap=True)
    output.console.print(f"  {made.path}", soft_wrap=True)
    output.console.print(f"  sha256 {made.sha256}", soft_wrap=True)


@app.command("list")
def list_(
    data: Data = None,
    after: Annotated[str, typer.Option(help="Continue after this package id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: Json = False,
) -> None:
    """List packages."""
    rows = client(data).get("/admin/v1/packages", list[PackageLine], {"after": after, "limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ID", "MODE", "RING", "ADMISSION", "BUILT", "BY", "STATE"),
        (
            (
                row.id,
                row.mode + (f" {escape(row.account)} #{row.generation}" if row.account else ""),
                escape(row.ring),
                row.admission,
                output.moment(row.created_at),
                escape(row.created_by),
                "revoked" if row.revoked else "in use",
            )
            for row in rows
        ),
        "No packages. Build one: keyfast package create",
    )


@app.command()
def revoke(package: str, data: Data = None, json: Json = False) -> None:
    """Stop a package from enrolling more endpoints; those it enrolled are not touched."""
    changed = client(data).post(f"/admin/v1/packages/{package}/revoke", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{package} enrols no more endpoints")
