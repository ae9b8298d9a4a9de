"""Rows by the hundred thousand, into a migrated database, as fast as it takes them."""

import asyncio
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from keyfast.store.url import sqlite_path

Row = tuple[Any, ...]


class Bulk(Protocol):
    """Takes rows."""

    def as_id(self, raw: bytes) -> object:
        """Return 16 bytes as the database keeps ids."""
        ...

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows."""
        ...


@contextmanager
def opened(url: str) -> Iterator[Bulk]:
    """Open a database for rows; on leaving they are all there, and the planner knows how many.

    Durability is off meanwhile on SQLite, and all of it is one transaction there.
    """
    path = sqlite_path(url)
    with _sqlite(path) if path is not None else _postgres(url) as bulk:
        yield bulk


class _Sqlite:
    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def as_id(self, raw: bytes) -> object:
        return raw

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        marks = ",".join("?" * len(columns))
        self._conn.executemany(f"insert into {table} ({','.join(columns)}) values ({marks})", rows)  # noqa: S608


@contextmanager
def _sqlite(path: Path) -> Iterator[Bulk]:
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        conn.execute("pragma synchronous=off")
        conn.execute("pragma cache_size=-1000000")
        conn.execute("begin")
        yield _Sqlite(conn)
        conn.execute("commit")
        conn.execute("analyze")
        conn.execute("pragma wal_checkpoint(truncate)")
    finally:
        conn.close()


class _Postgres:
    def __init__(self, runner: asyncio.Runner, conn: "asyncpg.Connection[Any]") -> None:
        self._runner = runner
        self._conn = conn

    def as_id(self, raw: bytes) -> object:
        return uuid.UUID(bytes=raw)

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        self._runner.run(self._conn.copy_records_to_table(table, records=rows, columns=list(columns)))


@contextmanager
def _postgres(url: str) -> Iterator[Bulk]:
    with asyncio.Runner() as runner:
        conn = runner.run(asyncpg.connect(url))
        try:
            yield _Postgres(runner, conn)
            runner.run(conn.execute("vacuum analyze"))
            runner.run(conn.execute("checkpoint"))
        finally:
            runner.run(conn.close())
