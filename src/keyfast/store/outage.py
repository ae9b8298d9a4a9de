"""Which driver errors mean "the database cannot serve now" rather than "this statement is wrong"."""

import sqlite3

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from keyfast.errors import NotReadyError

# Primary result codes: busy, locked, nomem, readonly, ioerr, corrupt, full, cantopen, protocol, notadb.
_SQLITE = frozenset({5, 6, 7, 8, 10, 11, 13, 14, 15, 26})
# SQLSTATE classes (PostgreSQL manual, appendix A): connection, authorization, read-only transaction or
# broken transaction, deadlock and serialization, resources (disk full), locks, shutdown and time limits,
# system errors.
_POSTGRES = ("08", "28", "25", "40", "53", "55", "57", "58", "3D")


def is_outage(cause: BaseException) -> bool:
    """Tell whether ``cause``, or the driver error it carries, may be gone when tried again later."""
    if isinstance(cause, DBAPIError):
        driver = cause.orig and (cause.orig.__cause__ or cause.orig)
        return cause.connection_invalidated or (driver is not None and is_outage(driver))
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE
    if isinstance(cause, asyncpg.PostgresError):
        return (cause.sqlstate or "").startswith(_POSTGRES)
    outages = (PoolTimeoutError, OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(cause, outages)


def not_ready(cause: BaseException) -> NotReadyError:
    """Wrap an outage; the text names the kind of error and never the database's address."""
    driver = cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else cause
    said = (str(driver).splitlines() or [""])[0][:200]
    return NotReadyError(
        f"the database cannot serve now: {type(driver).__name__}: {said}",
        repair="check that the database runs, accepts this server and has free disk space",
    )
