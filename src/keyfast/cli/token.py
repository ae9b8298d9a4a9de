"""``keyfast token``: API tokens, for programs and for this command elsewhere."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.errors import UsageError
from keyfast.wire.admin import Changed
from keyfast.wire.people import TokenLine, TokenMade, TokenOrder

app = typer.Typer(no_args_is_help=True, help="API tokens: what programs speak to the admin API with.")


@app.command()
def create(
    person: Annotated[str, typer.Argument(help="Whose it is; it never allows more than they may do.")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[list[str], typer.Option(help="A permission, for example endpoint.read; repeatable.")],
    days: Annotated[int, typer.Option(help="How many days it lives.")],
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="New file for it, mode 0600; none prints it.")] = None,
    json: Json = False,
) -> None:
    """Make an API token; its text is shown this once."""
    order = TokenOrder(person, name, tuple(scope), days)
    if out is not None and out.exists():
        raise UsageError(f"{out} exists; a token's file is a new one")
    made = client(data).post("/admin/v1/tokens", TokenMade, order)
    if out is not None:
        _write(out, made.token)
        output.console.print(f"token {made.line.id} in {escape(str(out))}")
    elif json:
        output.as_json(made)
    else:
        output.console.print(f"token {made.line.id}, shown only now:\n{escape(made.token)}", soft_wrap=True)


@app.command("list")
def list_(
    data: Data = None,
    person: Annotated[str, typer.Option(help="Only theirs.")] = "",
    limit: Annotated[int, typer.Option(help="How many to print.")] = 100,
    after: Annotated[str, typer.Option(help="Begin after this id.")] = "",
    json: Json = False,
) -> None:
    """List API tokens, those that work no more too."""
    query: dict[str, str | int] = {"limit": limit, "after": after, "person": person}
    rows = client(data).get("/admin/v1/tokens", list[TokenLine], query)
    if json:
        output.as_json(rows)
        return
    now = time.time()
    output.table(
        ("ID", "PERSON", "NAME", "SCOPES", "EXPIRES", "USED", ""),
        (
            (
                row.id,
                escape(row.person),
                escape(row.name),
                escape(", ".join(row.scopes)),
                output.moment(row.expires_at),
                output.moment(row.used_at),
                "[dim]revoked[/]" if row.revoked_at else "[dim]expired[/]" if row.expires_at <= now else "",
            )
            for row in rows
        ),
        "No API tokens.",
    )


@app.command()
def revoke(token: Annotated[str, typer.Argument(help="Its id.")], data: Data = None, json: Json = False) -> None:
    """Revoke an API token, at once."""
    changed = client(data).post(f"/admin/v1/tokens/{output.in_path(token)}/revoke", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"token {escape(token)} is revoked")


def _write(path: Path, token: str) -> None:
    """Write a new file that is its owner's alone from its first byte on."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause}; revoke the token and make another") from cause
