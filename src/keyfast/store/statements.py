"""Statements that SQLAlchemy spells per dialect although both databases mean the same."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def _insert(conn: AsyncConnection, table: Table) -> Any:
    return (postgresql if conn.dialect.name == "postgresql" else sqlite).insert(table)


async def upsert(conn: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; where the primary key exists, replace every other column."""
    if not rows:
        return
    statement = _insert(conn, table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    await conn.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))


async def insert_once(conn: AsyncConnection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless its primary key exists; tell whether it was inserted."""
    result = await conn.execute(_insert(conn, table).on_conflict_do_nothing().values(row))
    return bool(result.rowcount == 1)
