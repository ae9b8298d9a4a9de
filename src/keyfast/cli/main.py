"""The ``keyfast`` command."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from keyfast import __version__
from keyfast.cli import (
    account,
    approval,
    audit,
    diagnose,
    directory,
    endpoint,
    events,
    forecast,
    incident,
    keys,
    mode,
    notify,
    output,
    package,
    person,
    policy,
    recover,
    rotation,
    search,
    server,
    session,
    simulate,
    token,
    window,
)
from keyfast.cli.client import far
from keyfast.cli.options import elsewhere
from keyfast.errors import KeyfastError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keyfast: an endpoint that was enrolled once keeps checking in.",
)
app.add_typer(server.app, name="server")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(search.app, name="search")
app.add_typer(package.app, name="package")
app.add_typer(keys.app, name="keys")
app.add_typer(mode.app, name="mode")
app.add_typer(policy.app, name="policy")
app.add_typer(account.app, name="account")
app.add_typer(directory.app, name="directory")
app.add_typer(audit.app, name="audit")
app.add_typer(notify.app, name="notify")
app.add_typer(diagnose.app, name="diagnose")
app.add_typer(window.app, name="window")
app.add_typer(incident.app, name="incident")
app.add_typer(rotation.app, name="rotation")
app.add_typer(person.app, name="person")
app.add_typer(token.app, name="token")
app.add_typer(session.app, name="session")
app.add_typer(approval.app, name="approval")
app.command()(events.events)
app.command()(forecast.forecast)
app.command()(simulate.simulate)
app.command()(recover.recover)


@app.callback()
def everywhere(
    server: Annotated[
        str, typer.Option(help="https:// URL of a server elsewhere; none is the one here.", envvar="KEYFAST_SERVER")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File with an API token, for a server elsewhere.", envvar="KEYFAST_TOKEN_FILE")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="PEM file of the authority behind that server's certificate.", envvar="KEYFAST_CA"),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; a server elsewhere demands it for dangerous acts.")] = "",
    approval: Annotated[
        str, typer.Option(help="Id of the approval by which this is done, once a second person agreed.")
    ] = "",
) -> None:
    """Keyfast: an endpoint that was enrolled once keeps checking in."""
    elsewhere.set(far(server, token_file, ca, reason, approval) if server else None)


@app.command()
def up(
    data: Annotated[
        Path, typer.Option(help="Directory that keeps everything; made if missing.", envvar="KEYFAST_DATA")
    ] = Path("data"),
    port: Annotated[int, typer.Option(help="TCP port of the endpoint API, for a new directory.")] = 8443,
    mode: Annotated[
        Literal["oauth", "windows"], typer.Option(help="How this machine's agent authenticates, for a new directory.")
    ] = "oauth",
) -> None:
    """Start a server here, enrol this machine with its real disk state, and keep both running."""
    from keyfast.cli import up as machine  # noqa: PLC0415 - the server's rooms are slow to import

    machine.up(data, port, mode)


@app.command()
def version() -> None:
    """Print the version."""
    output.console.print(__version__)


def main() -> None:
    """Run a command; a fault ends it with a sentence, a repair and an exit code."""
    try:
        app()
    except KeyfastError as fault:
        sys.exit(output.fail(fault))


if __name__ == "__main__":
    main()
