"""SQLite files: private to their owner, in WAL mode, and durable at every commit."""

import logging
import os
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
BUSY_SECONDS = 5.0
CHECKPOINT_SECONDS = 0.5
RESTART_FRAMES = 8192

_log = logging.getLogger(__name__)


def ensure_private_file(path: Path) -> None:
    """Create the file, unless it exists, readable by its owner only; its WAL takes the same mode.

    Raises:
        OSError: the directory is missing or not writable.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def file_uri(path: Path) -> str:
    """Return the path as an SQLite URI; opened with ``mode=rw`` a missing file is never made anew."""
    return f"file:{quote(str(path))}"


class Checkpointer:
    """Copies the WAL into the database file, in a thread of its own, so that no COMMIT has to.

    The bulk is copied beside the writer. When the WAL has grown long it is also restarted from its
    beginning; that takes the write lock for the few pages written meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that something was committed."""
        self._dirty.set()

    def close(self) -> None:
        """Stop and wait for the end of the present checkpoint."""
        self._stop.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        conn = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            while not self._stop.wait(CHECKPOINT_SECONDS):
                self._dirty.wait()
                self._dirty.clear()
                self._checkpoint(conn)
            self._checkpoint(conn)
        finally:
            conn.close()

    def _checkpoint(self, conn: sqlite3.Connection) -> None:
        try:
            _busy, frames, _copied = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames >= RESTART_FRAMES:
                conn.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error as cause:
            # Nothing is lost: all of it is in the WAL, and the next round tries again. A full or failing
            # disk is met by the writer too, which tells.
            _log.warning("the WAL could not be copied back: %s", cause)
