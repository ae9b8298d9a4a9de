"""``keyfast package create|list|revoke``."""

from typing import Annotated, Literal

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import Changed, PackageLine, PackageOrder

Admission = Literal["auto", "approve"]

app = typer.Typer(no_args_is_help=True, help="Packages: what installs the agent and lets it enrol.")


@app.command()
def create(
    data: Data = None,
    ring: Annotated[str, typer.Option(help="Set of endpoints it is for.")] = "default",
    admission: Annotated[Admission, typer.Option(help="Let endpoints in by themselves, or each by hand.")] = "auto",
    days: Annotated[int, typer.Option(help="How long it may enrol endpoints.")] = 30,
    max_uses: Annotated[int, typer.Option(help="How many endpoints may enrol with it.")] = 1000,
    json: Json = False,
) -> None:
    """Build a package with an enrolment token of its own."""
    made = client(data).post("/admin/v1/packages", PackageLine, PackageOrder(ring, admission, days, max_uses))
    if json:
        output.as_json(made)
        return
    output.console.print(f"package [bold]{made.id}[/], ring {escape(made.ring)}, admission {made.admission}")
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
        ("ID", "RING", "ADMISSION", "BUILT", "BY", "STATE"),
        (
            (
                row.id,
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
