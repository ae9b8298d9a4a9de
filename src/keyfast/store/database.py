"""The database of a process: a small pool, transactions that read or write, and the schema's version."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from keyfast.errors import NotReadyError
from keyfast.store import acts, postgres
from keyfast.store.migrations import HEAD
from keyfast.store.outage import is_outage, not_ready
from keyfast.store.sqlite import BUSY_SECONDS, PRAGMAS, file_uri
from keyfast.store.url import sqlite_path

POOL_SIZE = 5
POOL_WAIT = 5.0
_BEGIN = "keyfast_begin"


class Database:
    """Opens transactions. Every outage surfaces as NotReadyError; nothing was written then."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Prepare the pool; connections are made when needed.

        Raises:
            NotReadyError: there is no such SQLite file; one is made by ``upgrade`` and by nothing else.
            UsageError: the URL is of no known form.
        """
        path = sqlite_path(url)
        engine = _postgres_engine(url) if path is None else _sqlite_engine(path)
        if path is None:
            # One snapshot for all statements of a reading.
            return cls(engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), engine)
        return cls(engine, engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}))

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Read from one snapshot.

        Raises:
            NotReadyError: the database cannot serve now.
        """
        self._check_open()
        with outages():
            async with self._reader.connect() as conn:
                yield conn

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Write in one transaction, committed durably on leaving and rolled back on an exception.

        Acts told of inside (``store.events``) are appended to the audit trail as its last statements.

        Raises:
            NotReadyError: the database cannot serve now, or others hold its lock too long.
        """
        self._check_open()
        with outages():
            async with self._writer.begin() as conn:
                acts.begin(conn)
                yield conn
                await acts.finish(conn)

    async def check_schema(self) -> None:
        """Check that the schema is the one this version needs.

        Raises:
            NotReadyError: it is missing, older or newer.
        """
        async with self.read() as conn:
            found = await conn.run_sync(_version)
        if found != HEAD:
            raise NotReadyError(
                f"the database schema is {found or 'missing'}; this version needs {HEAD}",
                repair="start the server of the matching version; it brings the schema up to date",
            )

    async def close(self) -> None:
        """Close all connections, for good. May be called twice."""
        self._closed = True
        await self._writer.dispose()

    def _check_open(self) -> None:
        """A pool that was disposed of would connect anew, and nobody would ever close that connection."""
        if self._closed:
            raise NotReadyError("the server is stopping", retry_after=5)


def _version(conn: Connection) -> str | None:
    """The schema's version, None without one."""
    known = inspect(conn).has_table("alembic_version")
    return conn.scalar(text("SELECT version_num FROM alembic_version")) if known else None


@contextmanager
def outages() -> Iterator[None]:
    """Let what an unreachable, full or locked database raises be a NotReadyError."""
    try:
        yield
    except Exception as cause:
        if is_outage(cause):
            raise not_ready(cause) from cause
        raise


def _postgres_engine(url: str) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: postgres.connect(url),
        pool_size=POOL_SIZE,
        pool_timeout=POOL_WAIT,
        pool_pre_ping=True,
    )


def _sqlite_engine(path: Path) -> AsyncEngine:
    if not path.is_file():
        raise NotReadyError(f"there is no database at {path}", repair="restore it from a backup")
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=file_uri(path), query={"mode": "rw", "uri": "true"}),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        pool_size=POOL_SIZE,
        pool_timeout=POOL_WAIT,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        try:
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(pragma)
            cursor.close()
        except BaseException:
            connection.close()  # the pool forgets what could not be prepared, and its thread would stay
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(conn: Connection) -> None:
        conn.exec_driver_sql(conn.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine
