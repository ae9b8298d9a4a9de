"""Nodes: the processes that endpoints speak to, and what each says that it accepts."""

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.node import Accepts, Node
from keyfast.store.statements import upsert
from keyfast.store.tables import node


async def tell(conn: AsyncConnection, told: Node) -> None:
    """Put on record what a node accepts now."""
    row = {
        "name": told.name,
        "started_at": told.started_at,
        "seen_at": told.seen_at,
        "accepts": msgspec.to_builtins(told.accepts),
    }
    await upsert(conn, node, [row])


async def load(conn: AsyncConnection) -> list[Node]:
    """Return all nodes, by name."""
    rows = await conn.execute(select(node).order_by(node.c.name))
    return [Node(row.name, row.started_at, row.seen_at, msgspec.convert(row.accepts, Accepts)) for row in rows]


async def forget(conn: AsyncConnection, name: str) -> bool:
    """Remove a node that serves no more; tell whether there was one."""
    return (await conn.execute(delete(node).where(node.c.name == name))).rowcount == 1
