"""``keyfast keys``: passphrases come from a file or standard input, never from the command line."""

import os
from pathlib import Path
from typing import Annotated

import typer

from keyfast.cli import output, passwords
from keyfast.cli.options import Data, Json, client
from keyfast.errors import UsageError
from keyfast.wire.admin import KeyLine

app = typer.Typer(no_args_is_help=True, help="The installation's keys.")

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File with the passphrase; '-' or none reads standard input."),
]


def _print(lines: list[KeyLine], json: bool) -> None:
    if json:
        output.as_json(lines)
        return
    output.table(
        ("ROLE", "STATUS", "KEY ID", "MADE", "PRIVATE HALF"),
        (
            (
                row.role,
                row.status,
                row.kid,
                output.moment(row.created_at),
                "here" if row.private_here else "off line",
            )
            for row in lines
        ),
        "No keys.",
    )


@app.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """List the installation's keys (public facts only)."""
    _print(client(data).get("/admin/v1/keys", list[KeyLine]), json)


@app.command()
def rotate(role: str, data: Data = None, json: Json = False) -> None:
    """Bring a role's next key into use; the previous one stays accepted."""
    _print(client(data).post("/admin/v1/keys/rotate", list[KeyLine], {"role": role}), json)


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="File to write; must not exist.")],
    passphrase_file: PassphraseFile = None,
    data: Data = None,
) -> None:
    """Write all keys, encrypted under a passphrase, to a file to be kept elsewhere."""
    answer = client(data).post(
        "/admin/v1/keys/export", dict[str, str], {"passphrase": passwords.ask("Passphrase", passphrase_file)}
    )
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as cause:
        raise UsageError(f"cannot write {out}: {cause.strerror}") from cause
    with os.fdopen(descriptor, "w") as file:
        file.write(answer["export"] + "\n")
        file.flush()
        os.fsync(file.fileno())
    output.console.print(f"keys exported to {out}")


@app.command("import")
def import_(file: Path, passphrase_file: PassphraseFile = None, data: Data = None, json: Json = False) -> None:
    """Take exported keys of this installation back, where private halves are missing."""
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read {file}") from cause
    body = {"passphrase": passwords.ask("Passphrase", passphrase_file), "export": text}
    _print(client(data).post("/admin/v1/keys/import", list[KeyLine], body), json)


@app.command("remove-root")
def remove_root(data: Data = None, json: Json = False) -> None:
    """Take the root's private half off this server; export it first."""
    _print(client(data).post("/admin/v1/keys/remove-root", list[KeyLine]), json)


@app.command()
def rewrap(data: Data = None, json: Json = False) -> None:
    """Seal every secret at rest under a new key-encryption key."""
    answer = client(data).post("/admin/v1/keys/rewrap", dict[str, int])
    if json:
        output.as_json(answer)
    else:
        output.console.print(f"{answer['rewrapped']} keys sealed again")
