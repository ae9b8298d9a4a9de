"""Options that every command shares."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from keyfast import settings
from keyfast.cli.client import AdminClient, Far, FarClient, default_data

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of the server.", envvar="KEYFAST_DATA", show_default=False),
]
elsewhere: ContextVar[Far | None] = ContextVar("elsewhere", default=None)
"""The server that every command of this run speaks to, if that is not the one here."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(data: Path | None) -> settings.Settings:
    """Settings of the server in ``data``."""
    return settings.load((data or default_data()).resolve())


def client(data: Path | None) -> AdminClient:
    """The admin API of the server in ``data``, or of the one elsewhere."""
    far = elsewhere.get()
    if far is not None:
        return FarClient(far)
    return AdminClient(load(data).admin_socket)
