"""Options that every command shares."""

from pathlib import Path
from typing import Annotated

import typer

from keyfast import settings
from keyfast.cli.client import AdminClient, default_data

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of the server.", envvar="KEYFAST_DATA", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(data: Path | None) -> settings.Settings:
    """Settings of the server in ``data``."""
    return settings.load((data or default_data()).resolve())


def client(data: Path | None) -> AdminClient:
    """The admin API of the server in ``data``."""
    return AdminClient(load(data).admin_socket)
