"""The client database as a file: whatever fails, the old or the new record is there."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from keyfast.agent.client_database import Record, Slots, decode_record, encode_record
from keyfast.agent.file_database import (
    COMPACT_ABOVE,
    FILE_NAME,
    FileDatabase,
    files,
    read_record,
)
from keyfast.agent.lock import holder, is_held
from keyfast.errors import ClientDatabaseError


def record(seq: int = 0) -> Record:
    return Record("inst", "{}", ("d",), Slots("f", "c"), device_key="-----KEY-----", token="tok", seq=seq)


class FailingCalls:
    """``os``, whose n-th call of one kind fails; a write may also be cut short first."""

    def __init__(self, call: str, error: int = errno.ENOSPC, torn: int | None = None) -> None:
        self.call, self.error, self.torn, self.armed = call, error, torn, False

    def _maybe(self, call: str) -> None:
        if self.armed and call == self.call:
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        self._maybe("open")
        return os.open(path, flags, mode)

    def write(self, fd: int, data: bytes, /) -> int:
        if self.armed and self.call == "write" and self.torn is not None:
            os.write(fd, data[: self.torn])
        self._maybe("write")
        return os.write(fd, data[:1000])

    def fsync(self, fd: int) -> None:
        self._maybe("fsync")
        os.fsync(fd)

    def replace(self, src: Path, dst: Path) -> None:
        self._maybe("replace")
        src.replace(dst)

    def close(self, fd: int) -> None:
        os.close(fd)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def reopened(state: Path) -> Record | None:
    database = FileDatabase(state)
    try:
        return database.load()
    finally:
        database.close()


def test_what_was_stored_is_loaded(state: Path):
    database = FileDatabase(state)
    assert database.load() is None
    for seq in range(1, 20):
        database.store(record(seq))
    database.close()
    assert reopened(state) == record(19)
    assert read_record(state) == record(19)


def test_modes_are_private(state: Path):
    database = FileDatabase(state)
    database.store(record())
    database.close()
    assert state.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in state.iterdir())


def test_it_is_compacted_and_stays_small(state: Path):
    database = FileDatabase(state)
    database.load()
    big = replace(record(), statement="x" * 20_000)
    for seq in range(100):
        database.store(replace(big, seq=seq))
        assert (state / FILE_NAME).stat().st_size <= COMPACT_ABOVE
    database.close()
    assert reopened(state) == replace(big, seq=99)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("torn", [None, 1, 300])
@pytest.mark.parametrize("compacting", [False, True])
def test_a_failing_call_leaves_the_old_or_the_new_record(
    state: Path, call: str, error: int, torn: int | None, compacting: bool
):
    calls = FailingCalls(call, error, torn)
    database = FileDatabase(state, calls)
    database.load()
    database.store(record(1))
    if compacting:
        database.store(replace(record(1), statement="x" * (COMPACT_ABOVE - 3000)))
    calls.armed = True
    larger = replace(record(2), package="p" * 3000)
    if call == "replace" and not compacting:
        database.store(larger)  # an append renames nothing
    else:
        with pytest.raises(ClientDatabaseError, match=os.strerror(error)):
            database.store(larger)
    found = read_record(state)
    assert found is not None
    assert found.seq in (1, 2)
    calls.armed = False
    database.store(record(3))
    database.close()
    assert reopened(state) == record(3)
    assert not list(state.glob("*.damaged"))


def test_a_failed_store_never_brings_back_what_was_refused(state: Path):
    """A record whose flush failed may be on disk; the next one still wins over it."""
    calls = FailingCalls("fsync")
    database = FileDatabase(state, calls)
    database.load()
    database.store(record(1))
    calls.armed = True
    with pytest.raises(ClientDatabaseError):
        database.store(record(2))
    calls.armed = False
    database.store(record(7))
    database.close()
    assert reopened(state) == record(7)


def test_a_torn_tail_is_dropped_without_fuss(state: Path):
    database = FileDatabase(state)
    database.load()
    database.store(record(1))
    database.store(record(2))
    database.close()
    path = state / FILE_NAME
    path.write_bytes(path.read_bytes()[:-5])
    assert reopened(state) == record(1)
    assert not list(state.glob("*.damaged"))


def test_damage_is_kept_aside_and_an_earlier_record_used(state: Path):
    database = FileDatabase(state)
    database.load()
    database.store(record(1))
    database.store(record(2))
    database.close()
    path = state / FILE_NAME
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(content)
    database = FileDatabase(state)
    assert database.load() == record(1)
    assert (state / "client-database.damaged").read_bytes() == content
    database.store(record(9))
    database.close()
    assert reopened(state) == record(9)


def test_nothing_intact_is_an_error_that_keeps_the_evidence(state: Path):
    database = FileDatabase(state)
    database.load()
    database.store(record(1))
    database.close()
    path = state / FILE_NAME
    content = b"garbage" + path.read_bytes()[60:]
    path.write_bytes(content)
    database = FileDatabase(state)
    with pytest.raises(ClientDatabaseError, match="no intact record"):
        database.load()
    database.close()
    assert path.read_bytes() == content
    with pytest.raises(ClientDatabaseError, match="no intact record"):
        read_record(state)


def test_a_second_process_is_told_who_holds_it(state: Path):
    database = FileDatabase(state)
    code = "import sys, pathlib, keyfast.agent.file_database as f; f.FileDatabase(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(state)], capture_output=True, text=True, check=False)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert is_held(state)
    assert holder(state) == os.getpid()
    database.close()
    assert not is_held(state)
    FileDatabase(state).close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_exposed_file_is_refused_with_the_repair(state: Path, mode: int):
    database = FileDatabase(state)
    database.store(record())
    database.close()
    (state / FILE_NAME).chmod(mode)
    database = FileDatabase(state)
    with pytest.raises(ClientDatabaseError) as caught:
        database.load()
    database.close()
    assert caught.value.repair == f"chmod 600 {state / FILE_NAME}"


def test_an_exposed_directory_is_refused_with_the_repair(state: Path):
    state.mkdir()
    state.chmod(0o755)  # whatever the umask
    with pytest.raises(ClientDatabaseError) as caught:
        FileDatabase(state)
    assert caught.value.repair == f"chmod 700 {state}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_directory_of_somebody_else_is_refused(state: Path):
    state.mkdir(mode=0o700)
    os.chown(state, 12345, 12345)
    with pytest.raises(ClientDatabaseError, match="belongs to user 12345"):
        FileDatabase(state)


def test_a_planted_symlink_is_not_followed(state: Path, tmp_path: Path):
    state.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (state / "client-database.new").symlink_to(victim)
    database = FileDatabase(state)
    database.load()
    with pytest.raises(ClientDatabaseError):
        database.store(record())
    database.close()
    assert victim.read_text() == "precious"


def test_files_names_everything_it_writes(state: Path):
    database = FileDatabase(state)
    database.store(record(1))
    database.close()
    (state / FILE_NAME).write_bytes((state / FILE_NAME).read_bytes() * 2 + b"xxx")
    assert reopened(state) == record(1)
    assert set(state.iterdir()) <= set(files(state))


def test_a_newer_version_s_members_do_not_keep_an_older_agent_from_reading():
    payload = msgspec.json.decode(encode_record(record(5))) | {"tpm_handle": "x"}
    assert decode_record(msgspec.json.encode(payload)) == record(5)


def test_a_record_does_not_show_its_secrets():
    shown = f"{record()!r} {record()}"
    assert "KEY" not in shown
    assert "tok" not in shown


WRITER = """
import pathlib, sys
from msgspec.structs import replace
from keyfast.agent.client_database import Record, Slots
from keyfast.agent.file_database import FileDatabase
database = FileDatabase(pathlib.Path(sys.argv[1]))
held = database.load() or Record("inst", "{}", (), Slots("f", "c"), statement="x" * 9000)
for seq in range(held.seq + 1, 10**9):
    database.store(replace(held, seq=seq))
    print(seq, flush=True)
"""


@pytest.mark.parametrize("patience", [0.0, 0.003, 0.011, 0.029, 0.05, 0.12, 0.2])
def test_killed_at_any_moment_nothing_that_was_stored_is_lost(state: Path, patience: float):
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(state)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            # The moment of the kill is the point of the test, not a wait for something.
            time.sleep(patience)
            process.send_signal(signal.SIGKILL)
            stored = [line for line in (first + process.stdout.read()).splitlines() if line]
        found = reopened(state)
        assert found is not None
        assert found.seq >= int(stored[-1])
        assert found.statement == "x" * 9000
