"""``keyfast server run|info``."""

import asyncio
import time

import typer

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client, load
from keyfast.server import log, run
from keyfast.wire.admin import Installation

app = typer.Typer(no_args_is_help=True, help="The server.")


@app.command("run")
def run_(data: Data = None) -> None:
    """Run the server of an existing installation until SIGTERM or Ctrl-C."""
    log.configure("server")
    settings = load(data)
    asyncio.run(run.prepare(settings, found=False, name="", now=int(time.time())))
    asyncio.run(run.serve(settings))


@app.command()
def info(data: Data = None, json: Json = False) -> None:
    """Say which installation this is."""
    found = client(data).get("/admin/v1/installation", Installation)
    if json:
        output.as_json(found)
        return
    output.table(
        ("", ""),
        (
            ("installation", found.id),
            ("name", found.name),
            ("epoch", str(found.epoch)),
            ("URLs", ", ".join(found.urls)),
            ("version", found.version),
        ),
        "",
    )
