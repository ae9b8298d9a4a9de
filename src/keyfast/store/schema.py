"""Bring the schema up to date. Only a server that starts does, so that no other process imports what it takes."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from keyfast.store.database import Database, outages
from keyfast.store.sqlite import ensure_private_file
from keyfast.store.url import sqlite_path


def upgrade(url: str) -> None:
    """Create the schema or bring it up to date, in one transaction. Not to be called on a running loop.

    Raises:
        NotReadyError: the database cannot serve now.
        UsageError: the URL is of no known form.
    """
    asyncio.run(_upgrade(url))


async def _upgrade(url: str) -> None:
    path = sqlite_path(url)
    if path is not None:
        with outages():
            ensure_private_file(path)
    database = await Database.open(url)
    try:
        async with database.write() as conn:
            if path is None:  # two servers may start at once
                await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(4818117110)")
            await conn.run_sync(_migrate)
    finally:
        await database.close()


def _migrate(conn: Connection) -> None:
    config = _alembic()
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
