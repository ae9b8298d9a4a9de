"""Rows of the embedded directory; what is in them is the directory's business."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.statements import upsert
from keyfast.store.tables import local_account


async def get(conn: AsyncConnection, name: str) -> dict[str, Any] | None:
    """Return the document of an account (name in lower case)."""
    found = await conn.execute(select(local_account.c.document).where(local_account.c.name == name))
    return found.scalar_one_or_none()


async def put(conn: AsyncConnection, name: str, document: dict[str, Any]) -> None:
    """Store the document of an account in place of the one before."""
    await upsert(conn, local_account, [{"name": name, "document": document}])


async def load(conn: AsyncConnection) -> list[dict[str, Any]]:
    """Return all documents, ordered by name; there are a handful."""
    return list(await conn.scalars(select(local_account.c.document).order_by(local_account.c.name)))
