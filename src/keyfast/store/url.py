"""Database URLs: ``sqlite:///absolute/path``, ``postgresql://user@host:port/db`` (or ``?host=/socket``)."""

from pathlib import Path

from keyfast.errors import UsageError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for a PostgreSQL URL.

    Raises:
        UsageError: it is neither, or the path is relative.
    """
    if url.startswith(_POSTGRES):
        return None
    path = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or not path.is_absolute():
        raise UsageError("the database is given as sqlite:///absolute/path or postgresql://user@host/database")
    return path
