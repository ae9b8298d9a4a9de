"""Founding and opening an installation: interrupted, damaged, exposed, foreign."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support import processes

from keyfast import settings as settings_room
from keyfast.errors import ForeignError, KeyFileError, NotReadyError, TrustError, UsageError
from keyfast.server import compose, run
from keyfast.services import founding
from keyfast.settings import Settings
from keyfast.store.database import Database
from keyfast.trust import tls

NOW = 1_800_000_000


def found(settings: Settings) -> str:
    before = os.umask(0)
    try:
        return asyncio.run(run.prepare(settings, found=True, name="test", now=NOW))
    finally:
        os.umask(before)


def opened(settings: Settings) -> compose.Parts:
    async def both() -> compose.Parts:
        parts = await compose.open_parts(settings)
        await parts.database.close()
        return parts

    return asyncio.run(both())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(tmp_path / "data")
    found(made)
    return made


def test_a_second_founding_changes_nothing(settings):
    before = {path: path.read_bytes() for path in settings.data.rglob("*") if path.is_file() and "db" not in path.name}
    first = opened(settings).live.current
    assert found(settings) == first.installation.id
    again = opened(settings).live.current
    assert [key.kid for key in again.keyset.keys] == [key.kid for key in first.keyset.keys]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_everything_private_is_readable_by_its_owner_only(settings):
    for path in settings.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "mark",
    ["keyfast.db", "founding", "kek.json", "tls/ca.key.sealed", "tls/ca.pem", "tls/server.key", "tls/server.pem"],
)
def test_a_founding_that_is_killed_anywhere_is_finished_by_the_next(tmp_path, mark):
    """kill -9 as soon as a file appears, then start again."""
    made = Settings(tmp_path / "data")
    process = processes.start(
        "keyfast.cli.main", "server", "init", "--data", str(made.data), "--url", made.urls[0], log=tmp_path / "log"
    )
    end = time.monotonic() + processes.DEADLINE
    while not (made.data / mark).exists() and process.poll() is None:
        assert time.monotonic() < end, (tmp_path / "log").read_text()
    processes.stop(process, signal.SIGKILL)
    installation = found(made)
    parts = opened(made)
    assert parts.live.current.installation.id == installation
    assert {path.name for path in made.tls.iterdir()} == {"ca.pem", "ca.key.sealed", "server.pem", "server.key"}
    assert not (made.data / "founding").exists()


def test_a_missing_kek_is_named_and_never_made_anew(settings):
    settings.kek_file.unlink()
    for start in (lambda: found(settings), lambda: opened(settings)):
        with pytest.raises(KeyFileError, match=r"kek\.json") as told:
            start()
        assert "backup" in told.value.repair
    assert not settings.kek_file.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"installation": 5}', b"[]"])
def test_a_damaged_kek_is_named_and_kept(settings, content):
    settings.kek_file.write_bytes(content)
    with pytest.raises(KeyFileError):
        opened(settings)
    assert settings.kek_file.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_kek_that_others_may_read_is_refused(settings, mode):
    settings.kek_file.chmod(mode)
    with pytest.raises(KeyFileError) as told:
        opened(settings)
    assert "chmod" in told.value.repair


def test_another_installations_kek_is_refused(settings, tmp_path):
    other = Settings(tmp_path / "other")
    found(other)
    shutil.copy2(other.kek_file, settings.kek_file)
    with pytest.raises(ForeignError):
        opened(settings)


def test_a_lost_database_beside_a_key_is_no_reason_to_start_afresh(settings):
    for path in settings.data.glob("keyfast.db*"):
        path.unlink()
    with pytest.raises(KeyFileError, match="holds no installation"):
        found(settings)
    with pytest.raises((KeyFileError, NotReadyError)):
        opened(settings)


def test_an_altered_sealed_key_is_refused(settings):
    database = sqlite3.connect(settings.data / "keyfast.db")
    rows = database.execute("SELECT kid, private_sealed FROM signing_key ORDER BY kid").fetchall()
    database.execute("UPDATE signing_key SET private_sealed = ? WHERE kid = ?", (rows[1][1], rows[0][0]))
    database.commit()
    database.close()
    with pytest.raises(TrustError):
        opened(settings)


def test_the_server_certificate_is_renewed_in_time_and_not_before(settings):
    certificate = settings.tls / "server.pem"
    parts = opened(settings)
    day = 86400
    assert not founding.ensure_server_certificate(settings, parts.opened.kek, NOW + 300 * day)
    before = certificate.read_bytes()
    assert founding.ensure_server_certificate(settings, parts.opened.kek, NOW + 340 * day)
    assert certificate.read_bytes() != before
    assert tls.days_left(certificate.read_bytes(), datetime.fromtimestamp(NOW + 340 * day, UTC)) > 390


def test_an_administrators_own_certificate_is_left_alone(settings):
    parts = opened(settings)
    (settings.tls / "ca.key.sealed").unlink()
    assert not founding.ensure_server_certificate(settings, parts.opened.kek, NOW + 5000 * 86400)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen = ", "not TOML"),
        ("colour = 1", "unknown settings: colour"),
        ("port = 'x'", "port must be"),
        ("port = 0", "port must be"),
        ("port = true", "port must be"),
        ("urls = 'https://x'", "urls must be a list"),
        ("urls = []", "urls must be a list"),
        ("urls = ['http://x']", "not an https URL"),
        ("listen = 5", "listen must be a string"),
        ("recovery = 1", "recovery must be a table"),
        ("[recovery]\ndevice_key = 'never'", "recovery.device_key must be one of always, window"),
        ("[recovery]\nkey = 'always'", "unknown settings: key"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_reason(tmp_path, text, said):
    (tmp_path / settings_room.FILE_NAME).write_text(text)
    with pytest.raises(UsageError, match=said):
        settings_room.load(tmp_path)


def test_settings_survive_their_file_and_an_existing_file_is_kept(tmp_path):
    made = Settings(tmp_path, "127.0.0.1", 9443, ("https://a.example:9443", "https://b.example"), 'postgresql:///x"y')
    settings_room.write(made)
    assert settings_room.load(tmp_path) == made
    settings_room.write(Settings(tmp_path))
    assert settings_room.load(tmp_path) == made


@pytest.mark.parametrize(("text", "read"), [("", "always"), ("[recovery]\ndevice_key = 'window'", "window")])
def test_who_may_recover_when_is_a_setting(tmp_path, text, read):
    (tmp_path / settings_room.FILE_NAME).write_text(text)
    assert settings_room.load(tmp_path).recovery.device_key == read


def test_no_database_is_said_as_an_outage(tmp_path):
    with pytest.raises(NotReadyError):
        asyncio.run(_open_nothing(tmp_path))


async def _open_nothing(folder: Path) -> None:
    database = await Database.open(f"sqlite:///{folder / 'nothing.db'}")
    await database.close()
