"""``keyfast server init|run|info|nodes|forget-node|end-recovery``.

The server's rooms are imported by the commands that run one, so that all others start at once.
"""

import asyncio
import socket
import time
from typing import Annotated

import typer
from rich.markup import escape

from keyfast import settings as settings_room
from keyfast.cli import output
from keyfast.cli.client import default_data
from keyfast.cli.options import Data, Json, client, load
from keyfast.wire.admin import Changed, Installation, NodeLine, NodeName

app = typer.Typer(no_args_is_help=True, help="The server.")


@app.command()
def init(
    data: Data = None,
    url: Annotated[list[str] | None, typer.Option(help="Base URL endpoints use; repeat for more.")] = None,
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a server's default
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 8443,
    database: Annotated[str, typer.Option(help="postgresql:// URL; SQLite in the data directory if left out.")] = "",
) -> None:
    """Found an installation: its keys, its certificate authority, its database."""
    from keyfast.server import log, run  # noqa: PLC0415 - see the module's docstring

    log.configure("init")
    directory = (data or default_data()).resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    urls = tuple(url or [f"https://{socket.getfqdn()}:{port}"])
    settings_room.write(settings_room.Settings(directory, listen, port, urls, database))
    settings = settings_room.load(directory)
    installation = asyncio.run(run.prepare(settings, found=True, name=socket.gethostname(), now=int(time.time())))
    output.console.print(f"installation [bold]{installation}[/] in {settings.data}")
    output.console.print(f"back up {settings.data}, above all {settings.kek_file}: without it no key can be opened")


@app.command("run")
def run_(data: Data = None) -> None:
    """Run the server of an existing installation until SIGTERM or Ctrl-C."""
    from keyfast.server import log, run  # noqa: PLC0415 - see the module's docstring

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
            *([("went back in time", _restored(found))] if found.restored_at else []),
        ),
        "",
    )


@app.command()
def nodes(data: Data = None, json: Json = False) -> None:
    """List the processes that endpoints speak to, and what each says that it accepts."""
    found = client(data).get("/admin/v1/nodes", list[NodeLine])
    if json:
        output.as_json(found)
        return
    output.table(
        ("NODE", "SERVES SINCE", "LAST SAID", "PROFILE", "MODES", "GENERATIONS"),
        (
            (
                escape(node.name),
                output.moment(node.started_at),
                output.moment(node.seen_at),
                str(node.profile_seq),
                escape("; ".join(node.modes)),
                escape(", ".join(node.generations)),
            )
            for node in found
        ),
        "No server process is running for endpoints. Start one: keyfast server run",
    )


@app.command("forget-node")
def forget_node(name: str, data: Data = None, json: Json = False) -> None:
    """Wait for a node no longer that was taken out of service without a word."""
    changed = client(data).post("/admin/v1/nodes/forget", Changed, NodeName(name))
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{escape(name)} is waited for no longer")


@app.command("end-recovery")
def end_recovery(data: Data = None) -> None:
    """Say that a restored server is complete again: what would destroy anything is no longer held back."""
    client(data).post("/admin/v1/installation/end-recovery", Changed)
    output.console.print("the recovery after the restore is over")


def _restored(found: Installation) -> str:
    return f"noticed {output.moment(found.restored_at)}; nothing is destroyed until: keyfast server end-recovery"
