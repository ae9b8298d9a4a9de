"""``keyfast directory``: where accounts come from, and the accounts of the embedded directory."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output, passwords
from keyfast.cli.options import Data, Json, client
from keyfast.wire.directory import DirectoryView, LocalAccountLine, LocalAccountOrder

app = typer.Typer(no_args_is_help=True, help="The directory of accounts; the embedded one has its accounts here.")

PasswordFile = Annotated[Path | None, typer.Option(help="File with the password; '-' or none reads standard input.")]


@app.command()
def show(data: Data = None, json: Json = False) -> None:
    """Show which directory is used, and how Windows logons can be authenticated."""
    view = client(data).get("/admin/v1/directory", DirectoryView)
    if json:
        output.as_json(view)
        return
    output.table(
        ("", ""),
        (
            ("directory", view.kind.replace("_", " ")),
            ("domain", escape(view.domain)),
            ("servers", escape(", ".join(view.servers)) or "this one"),
            ("mechanisms", ", ".join(view.mechanisms) or "none"),
        ),
        "",
    )


@app.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """List the accounts of the embedded directory."""
    rows = client(data).get("/admin/v1/directory/accounts", list[LocalAccountLine])
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NAME", "PASSWORD SET", "STATE", "PASSWORD LASTS"),
        ((escape(row.name), output.moment(row.password_set_at), _state(row), _lasts(row)) for row in rows),
        "No accounts. Make one: keyfast directory set-password NAME",
    )


@app.command("set-password")
def set_password(name: str, data: Data = None, password_file: PasswordFile = None, json: Json = False) -> None:
    """Make an account of the embedded directory, or set its password."""
    order = LocalAccountOrder(name, passwords.ask("Password", password_file))
    _tell(client(data).post("/admin/v1/directory/accounts", LocalAccountLine, order), json)


@app.command()
def change(
    name: str,
    data: Data = None,
    disabled: Annotated[bool | None, typer.Option("--disabled/--enabled", help="Switch it off or on.")] = None,
    must_change: Annotated[
        bool | None, typer.Option("--must-change/--no-must-change", help="Whether the password must be set anew.")
    ] = None,
    max_age_days: Annotated[int | None, typer.Option(min=0, help="Days a password lasts, 0 for ever.")] = None,
    json: Json = False,
) -> None:
    """Change an account of the embedded directory."""
    order = LocalAccountOrder(name, "", disabled, must_change, max_age_days)
    _tell(client(data).post("/admin/v1/directory/accounts", LocalAccountLine, order), json)


def _tell(line: LocalAccountLine, json: bool) -> None:
    if json:
        output.as_json(line)
    else:
        output.console.print(f"{escape(line.name)}: {_state(line)}, password lasts {_lasts(line)}")


def _state(line: LocalAccountLine) -> str:
    flags = [word for word, on in (("disabled", line.disabled), ("must change", line.must_change)) if on]
    return ", ".join(flags) or "enabled"


def _lasts(line: LocalAccountLine) -> str:
    return f"{line.max_age_days} d" if line.max_age_days else "for ever"
