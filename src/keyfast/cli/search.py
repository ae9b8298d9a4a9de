"""``keyfast search``: searches for endpoints that one keeps; ``keyfast endpoint list --saved NAME`` uses one."""

from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.core.search import read_search
from keyfast.wire.admin import Changed
from keyfast.wire.search import SavedSearch, SearchOrder

app = typer.Typer(no_args_is_help=True, help="Searches for endpoints, kept under a name of one's own.")

Find = Annotated[str, typer.Option(help="Name begins so; else a serial number, SMBIOS UUID or user.")]
Name = Annotated[str, typer.Option(help="Only names that begin so.")]
State = Annotated[str, typer.Option(help="Only this state.")]
Disks = Annotated[str, typer.Option(help="Only disks that are protected, exposed or unknown.")]
Account = Annotated[str, typer.Option(help="Only those of this account (DOMAIN\\name).")]
Package = Annotated[str, typer.Option(help="Only those that came from this package (id).")]
Ring = Annotated[str, typer.Option(help="Only this ring.")]
Kept = Annotated[str, typer.Argument(help="What it is called.", metavar="NAME")]


@app.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """List the searches that one keeps."""
    rows = client(data).get("/admin/v1/searches", list[SavedSearch])
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NAME", "LOOKS FOR", "KEPT"),
        ((escape(row.name), escape(_told(row)), output.moment(row.saved_at)) for row in rows),
        "None is kept. Keep one: keyfast search save NAME --disks exposed",
    )


@app.command()
def save(
    kept: Kept,
    find: Find = "",
    name: Name = "",
    state: State = "",
    disks: Disks = "",
    account: Account = "",
    package: Package = "",
    ring: Ring = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Keep a search; it replaces one of the same name."""
    asked = {"q": find, "name": name, "state": state, "disks": disks, "account": account, "package": package}
    row = client(data).post("/admin/v1/searches", SavedSearch, SearchOrder(kept, read_search(asked | {"ring": ring})))
    if json:
        output.as_json(row)
    else:
        output.console.print(f"kept as {escape(row.name)}: {escape(_told(row))}")


@app.command()
def remove(kept: Kept, data: Data = None, json: Json = False) -> None:
    """Forget a search."""
    changed = client(data).post(f"/admin/v1/searches/{output.in_path(kept)}/remove", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{escape(kept)} is forgotten")


def _told(row: SavedSearch) -> str:
    return ", ".join(f"{'find' if name == 'q' else name} {text}" for name, text in row.search.query.items())
