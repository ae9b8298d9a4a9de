"""Who has a device key: the one read of every check-in that presents no access token.

It has a connection of its own, like the writer, and for the same reason: through the pool and its thread
such a read costs a millisecond, and on the event loop some microseconds.
"""

import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from keyfast.core.mode import Mode
from keyfast.store import postgres
from keyfast.store.outage import is_outage, not_ready
from keyfast.store.sqlite import file_uri
from keyfast.store.url import sqlite_path

POOL = 4
CURRENT = "current"
"""Status of the device key by which an endpoint works; every other one is superseded."""
_FIND = (
    "SELECT endpoint.id, endpoint.ring, endpoint.account_key, endpoint.mode, endpoint.generation, device_key.status"
    " FROM device_key JOIN endpoint ON endpoint.id = device_key.endpoint_id"
    " WHERE device_key.thumbprint = {}"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """An endpoint, as far as its authentication depends on it.

    Attributes:
        ring: of its package.
        account_key: account it last proved to use, at first its package's; empty if none.
        mode: authentication mode that it last proved to use.
        generation: credential generation of that account.
        current: it was found by its current device key; a superseded one serves for recovery only.
    """

    endpoint_id: str
    ring: str
    account_key: str
    mode: Mode = Mode.OAUTH
    generation: int = 0
    current: bool = True


class Identities(Protocol):
    """Finds endpoints by their device key."""

    async def find(self, thumbprint: str) -> Identity | None:
        """Return the endpoint that has, or had, a device key with this RFC 7638 thumbprint.

        Raises:
            NotReadyError: the database cannot serve now.
        """
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class SqliteIdentities:
    """Reads on the event loop: a reader of a WAL file waits for nobody."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{file_uri(path)}?mode=ro"
        self._conn: sqlite3.Connection | None = None

    async def find(self, thumbprint: str) -> Identity | None:
        """See ``Identities.find``."""
        try:
            if self._conn is None:
                self._conn = sqlite3.connect(self._uri, uri=True, timeout=0, isolation_level=None)
            row = self._conn.execute(_FIND.format("?"), (thumbprint,)).fetchone()
        except sqlite3.Error as cause:
            await self.close()
            if is_outage(cause):
                raise not_ready(cause) from cause
            raise
        return None if row is None else _identity(str(uuid.UUID(bytes=row[0])), *row[1:])

    async def close(self) -> None:
        """See ``Identities.close``."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


class PostgresIdentities:
    """Reads through a few connections, each with the statement prepared."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[Any] | None = None

    async def find(self, thumbprint: str) -> Identity | None:
        """See ``Identities.find``."""
        try:
            if self._pool is None:
                self._pool = await postgres.pool(self._url, POOL)
            row = await self._pool.fetchrow(_FIND.format("$1"), thumbprint, timeout=postgres.COMMAND_TIMEOUT)
        except Exception as cause:
            if is_outage(cause):
                raise not_ready(cause) from cause
            raise
        return None if row is None else _identity(str(row[0]), *tuple(row)[1:])

    async def close(self) -> None:
        """See ``Identities.close``."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()


def _identity(endpoint_id: str, ring: str, account_key: str, mode: str, generation: int, status: str) -> Identity:
    return Identity(endpoint_id, ring, account_key, Mode(mode), generation, status == CURRENT)


def open_identities(url: str) -> Identities:
    """Open the reader of a check-in process; it connects when it is first asked.

    Raises:
        UsageError: the URL is of no known form.
    """
    path = sqlite_path(url)
    return PostgresIdentities(url) if path is None else SqliteIdentities(path)
