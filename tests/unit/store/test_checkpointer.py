"""The WAL is copied back and begins anew, beside the writer."""

import sqlite3

import pytest
from tests.support.databases import new_database

from keyfast.store.sqlite import RESTART_FRAMES, Checkpointer
from keyfast.store.url import sqlite_path


@pytest.fixture
def conn(tmp_path):
    conn = sqlite3.connect(sqlite_path(new_database("sqlite", tmp_path)), isolation_level=None)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA wal_autocheckpoint=0")
    conn.execute("CREATE TABLE filler (content BLOB)")
    yield conn
    conn.close()


def _frames(conn):
    _, frames, copied = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return frames, copied


def test_a_long_wal_begins_anew(conn, tmp_path):
    checkpointer = Checkpointer(next(tmp_path.glob("*.db")))
    conn.execute("INSERT INTO filler VALUES (zeroblob(?))", (4096 * (RESTART_FRAMES + 100),))
    checkpointer.wake()
    checkpointer.close()
    conn.execute("INSERT INTO filler VALUES ('one more')")
    assert _frames(conn)[0] < 100
    assert conn.execute("SELECT count(*) FROM filler").fetchone() == (2,)


def test_a_failing_checkpoint_is_told_and_tried_again(tmp_path, caplog):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    checkpointer = Checkpointer(broken)
    checkpointer.wake()
    checkpointer.close()
    assert "could not be copied back" in caplog.text
