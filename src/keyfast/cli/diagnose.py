"""``keyfast diagnose``: why clients are silent, from what a site exported or this server knows. Nothing is changed."""

from pathlib import Path
from typing import Annotated

import typer

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.errors import EXIT_FAILED, UsageError
from keyfast.wire.incident import ServerDiagnosis

app = typer.Typer(no_args_is_help=True, help="Find out why clients are silent, and what can be done.")

Paths = list[Path] | None


@app.callback()
def diagnose() -> None:
    """Find out why clients are silent, and what can be done."""


@app.command()
def see(
    reg: Annotated[
        Paths, typer.Option(help="Registry export (.reg), output of 'reg query', or a folder with one file a machine.")
    ] = None,
    csv: Annotated[
        Paths, typer.Option(help="Inventory with a line, or a line for each value, of every machine.")
    ] = None,
    hive: Annotated[Paths, typer.Option(help="Offline hive of a machine, or a folder with one file a machine.")] = None,
    ad: Annotated[
        list[str] | None, typer.Option(help="A domain controller, ldaps://host; once for each domain at least.")
    ] = None,
    ad_user: Annotated[str, typer.Option(help="Any ordinary account to read with: DOMAIN\\name or name@domain.")] = "",
    ad_password_file: Annotated[
        Path | None, typer.Option(help="File with its password; '-' or none reads standard input.")
    ] = None,
    ad_keytab: Annotated[Path | None, typer.Option(help="Its keytab, instead of a password.")] = None,
    ad_ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) that vouch for the domain controllers.")
    ] = None,
    iis: Annotated[Paths, typer.Option(help="Log of IIS (W3C format), also compressed by gzip.")] = None,
    iis_path: Annotated[str, typer.Option(help="Only requests for paths that begin so.")] = "",
    clients: Annotated[Path | None, typer.Option(help="CSV of client versions by machine.")] = None,
    built_at: Annotated[
        list[str] | None,
        typer.Option(help="When the clients' package was built: 'DOMAIN\\account=2026-01-31', or a date for all."),
    ] = None,
    lock_after: Annotated[
        int,
        typer.Option(help="Days without contact after which the policy locks a client, 0 for never.", min=0, max=3650),
    ] = 0,
    column: Annotated[
        list[str] | None, typer.Option(help="Name of a column that is not found by itself: machine='Asset Tag'.")
    ] = None,
    json: Json = False,
    csv_out: Annotated[Path | None, typer.Option(help="Write a line for every machine to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report that needs no other file to this one.")] = None,
) -> None:
    """Diagnose clients of Symantec Endpoint Encryption that are silent, from exports of their registry."""
    from keyfast.cli import diagnose_site as site  # noqa: PLC0415 - slow to import

    files = site.Files(tuple(reg or ()), tuple(hive or ()), tuple(csv or ()), clients, tuple(iis or ()), iis_path)
    access = site.Access(tuple(ad or ()), ad_user, ad_password_file, ad_keytab, ad_ca)
    said = site.Said(tuple(built_at or ()), lock_after, tuple(column or ()))
    report = site.diagnose(files, access, said, site.Outputs(csv_out, html))
    if json:
        output.as_json(report)
    else:
        site.show(report)
    if not report.machines:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def server(data: Data = None, json: Json = False) -> None:
    """Look at this server: database, nodes, certificate, modes, directory, accounts, traffic; and what is found."""
    from keyfast.cli import diagnose_text  # noqa: PLC0415 - slow to import

    report = client(data).get("/admin/v1/diagnosis", ServerDiagnosis)
    if json:
        output.as_json(report)
    else:
        diagnose_text.show_server(report, output.console)


@app.command()
def explain(code: str) -> None:
    """Say what a finding means: what it needs, what speaks against it, what can be done."""
    from rich.markdown import Markdown  # noqa: PLC0415 - slow to import

    from keyfast.core.diagnosis import page  # noqa: PLC0415

    if code not in page.CODES:
        raise UsageError(f"there is no finding {code!r}", repair=f"one of {', '.join(page.CODES)}")
    output.console.print(Markdown(page.of(code)))
