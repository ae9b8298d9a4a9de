"""``keyfast audit`` against a running server whose administrator, or whose database's, did something."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from functools import partial

import msgspec
import pytest
from tests.support import processes
from tests.support.server import RunningServer
from typer.testing import CliRunner

from keyfast.cli import main as cli
from keyfast.cli import output
from keyfast.core.audit import Act, Actor, Entry, Via, follow, genesis
from keyfast.errors import KeyfastError
from keyfast.services.audit import STRETCH
from keyfast.services.audit_keep import TrailKeeper
from keyfast.services.audit_seal import Seals, TrailSealer
from keyfast.settings_audit import AuditSettings
from keyfast.store import audit
from keyfast.store.database import Database
from keyfast.trust.kek import load_kek

MODE = ("mode", "open", "oauth", "--ring")
EVIL = "lab]\x1b[31m\n<109>1 fake"


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    running = RunningServer(tmp_path_factory.mktemp("audited"))
    yield running
    running.close()


@pytest.fixture
def untouched(tmp_path):
    """A server of its own: on its trail is nothing, and in the end it is broken."""
    running = RunningServer(tmp_path / "untouched")
    yield running
    running.close()


@pytest.fixture
def keyfast(audited, monkeypatch):
    """Run a command in this process; returns exit code, output and error output."""
    monkeypatch.setattr(output.console, "width", 240)
    return partial(_run, audited)


def _run(server, *arguments):
    result = CliRunner().invoke(cli.app, [*arguments, "--data", str(server.data)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_trail_from_the_first_act_to_a_broken_record(untouched, monkeypatch, tmp_path):
    monkeypatch.setattr(output.console, "width", 240)
    audited, keyfast = untouched, partial(_run, untouched)
    installation = audited.admin.get("/admin/v1/installation", dict)["id"]
    # 1. Nothing is on it.
    assert keyfast("audit", "list")[1] == "Nothing is on the trail.\n"
    assert keyfast("audit", "verify")[0] == 0
    # 2. Two acts, and one that is refused.
    keyfast(*MODE, "north")
    keyfast(*MODE, EVIL)
    with pytest.raises(KeyfastError, match="last mode open"):
        keyfast("mode", "close", "oauth", "--ring", "north")
    assert [line.split()[0] for line in keyfast("audit", "list")[1].splitlines()[1:]] == ["3", "2", "1"]
    found = json.loads(keyfast("audit", "list", "--action", "mode_closed", "--json")[1])
    assert [entry["record"]["outcome"] for entry in found] == ["refused"]
    assert json.loads(keyfast("audit", "list", "--actor", "nobody", "--json")[1]) == []
    assert len(json.loads(keyfast("audit", "list", "--subject", "oauth", "--before", "3", "--json")[1])) == 2
    with pytest.raises(KeyfastError, match="no action 'x'"):
        keyfast("audit", "list", "--action", "x")
    shown = keyfast("audit", "show", "2")[1]
    assert "\x1b" not in shown
    assert "lab]\\x1b[31m\\x0a<109>1 fake" in shown
    assert json.loads(keyfast("audit", "show", "2", "--json")[1])["record"]["detail"] == {"ring": EVIL}
    with pytest.raises(KeyfastError, match="no record 99"):
        keyfast("audit", "show", "99")
    # 3. It is exported, and verified by its hashes alone.
    lines = keyfast("audit", "export")[1].splitlines()
    entries = [msgspec.json.decode(line, type=Entry) for line in lines]
    assert follow(genesis(installation), entries).number == 3
    for form in ("syslog", "cef"):
        told = keyfast("audit", "export", "--format", form, "--from", "2")[1]
        assert told.count("\n") == 2
        assert "\x1b" not in told
    keyfast("audit", "export", "--from", "3", "--to", str(tmp_path / "trail"))
    assert (tmp_path / "trail").read_text() == lines[2] + "\n"
    assert (tmp_path / "trail").stat().st_mode & 0o777 == 0o600
    whole = tmp_path / "whole"
    keyfast("audit", "export", "--to", str(whole))
    code, said, _ = keyfast("audit", "verify", "--file", str(whole), "--installation", installation)
    assert (code, said) == (0, f"intact up to record 3, head 3:{entries[2].hash}\n")
    # 4. A head is kept; the trail grows, by more than is verified at once.
    kept = keyfast("audit", "head")[1].strip()
    assert kept == f"3:{entries[2].hash}"
    assert json.loads(keyfast("audit", "head", "--json")[1])["installation"] == installation
    asyncio.run(grow(audited, STRETCH + 7))
    code, said, _ = keyfast("audit", "verify", "--head", kept)
    assert (code, said.split(", head")[0]) == (0, f"intact up to record {STRETCH + 10:,}, not sealed")
    with pytest.raises(KeyfastError, match="a head is NUMBER:HASH"):
        keyfast("audit", "verify", "--head", "3")
    code, _, told = keyfast("audit", "verify", "--head", f"3:{'0' * 64}")
    assert (code, told) == (1, "broken: record 3, or one before it, is not what it was when its head was kept\n")
    code, _, told = keyfast("audit", "verify", "--head", f"9999:{'0' * 64}")
    assert (code, told) == (1, f"broken: record {STRETCH + 11} is missing: the head that was kept is record 9999\n")
    # 5. Somebody changes one record in the database: it is named.
    with closing(sqlite3.connect(audited.data / "keyfast.db")) as database, database:
        database.execute("UPDATE audit SET actor = 'ben' WHERE number = ?", [STRETCH + 2])
    code, said, _ = keyfast("audit", "verify", "--json")
    assert (code, json.loads(said)["broken"], json.loads(said)["fault"]) == (1, STRETCH + 2, "changed")
    assert "was changed" in keyfast("audit", "verify")[2]


def test_a_trail_whose_front_was_removed(untouched, monkeypatch, tmp_path):
    monkeypatch.setattr(output.console, "width", 240)
    keyfast = partial(_run, untouched)
    installation = untouched.admin.get("/admin/v1/installation", dict)["id"]
    # 1. Two acts, whose head is kept, and their seal; the head after it is kept too.
    for ring in ("north", "south"):
        keyfast(*MODE, ring)
    older = keyfast("audit", "head")[1].strip()
    asyncio.run(tend(untouched, keep=False))
    newer = keyfast("audit", "head")[1].strip()
    keyfast(*MODE, "west")
    asyncio.run(tend(untouched, keep=True))
    # 2. What is left says from where it is kept, and who removed the rest.
    code, said, _ = keyfast("audit", "verify")
    assert code == 0
    assert "kept from record 4 on; what was before was removed by keyfast at" in said
    assert "after it was written to keyfast-audit-000000000001-000000000003.jsonl (record 6)" in said
    assert json.loads(keyfast("audit", "verify", "--json")[1])["beginning"]["after"]["number"] == 3
    # 3. A head of the last record that was removed still holds; an older one proves nothing, and that is said.
    assert keyfast("audit", "verify", "--head", newer)[0] == 0
    assert keyfast("audit", "verify", "--head", f"3:{'0' * 64}")[0] == 1
    with pytest.raises(KeyfastError, match="proves nothing any more"):
        keyfast("audit", "verify", "--head", older)
    with pytest.raises(KeyfastError, match="record 2 was removed; the trail is kept from record 4 on"):
        keyfast("audit", "show", "2")
    # 4. Pages, filters and exports go on; what was removed lies in the folder, and both together are the whole.
    listed = keyfast("audit", "list", "--actor", "local administrator", "--action", "mode_opened", "--json")[1]
    assert [entry["record"]["number"] for entry in json.loads(listed)] == [4]
    rest = keyfast("audit", "export")[1].encode()
    (tmp_path / "rest").write_bytes(rest)
    code, said, _ = keyfast("audit", "verify", "--file", str(tmp_path / "rest"), "--installation", installation)
    assert (code, "kept from record 4 on" in said) == (0, True)
    (removed,) = (untouched.data / "removed").iterdir()
    (tmp_path / "whole").write_bytes(removed.read_bytes() + rest)
    file = ("audit", "verify", "--file", str(tmp_path / "whole"), "--installation", installation)
    assert keyfast(*file, "--head", older)[0] == 0
    # 5. Somebody removes more by hand, and says that the trail begins there.
    with closing(sqlite3.connect(untouched.data / "keyfast.db")) as database, database:
        database.execute("UPDATE audit_start SET number = 4, hash = (SELECT hash FROM audit WHERE number = 4)")
        database.execute("DELETE FROM audit WHERE number = 4")
    code, _, told = keyfast("audit", "verify")
    assert code == 1
    assert "the trail begins with record 5, and the server did not seal that it does" in told
    assert "no record tells who removed what was before" in told


async def tend(server, *, keep):
    """Seal the trail; then remove the first three records, as if they and no others were old."""
    database = await Database.open(server.settings.database_url)
    installation = server.admin.get("/admin/v1/installation", dict)["id"]
    seals = Seals(lambda: load_kek(server.settings.kek_file, installation))
    await TrailSealer(database, seals, time.time).tick()
    if keep:
        await TrailKeeper(database, seals, AuditSettings(90, server.data / "removed"), time.time)._remove(3)
    await database.close()


async def grow(server, number):
    database = await Database.open(server.settings.database_url)
    act = Act(7, Actor("keyfast", Via.SERVER), "window_expired", "window", "w", {})
    async with database.write() as conn:
        await audit.append(conn, [act] * number)
    await database.close()


def test_an_export_goes_on_with_what_happens(audited, keyfast, tmp_path):
    to = tmp_path / "followed"
    last = int(keyfast("audit", "head")[1].partition(":")[0])
    arguments = ("audit", "export", "--follow", "--from", str(last + 1), "--to", str(to), "--data", str(audited.data))
    process = processes.start("keyfast.cli.main", *arguments, log=tmp_path / "log")
    try:
        for ring in ("east", "west"):
            keyfast(*MODE, ring)
            processes.until(lambda ring=ring: to.exists() and ring in to.read_text(), f"the act about {ring}")
    finally:
        processes.stop(process)
    assert [json.loads(line)["record"]["number"] for line in to.read_text().splitlines()] == [last + 1, last + 2]


@pytest.mark.parametrize(
    ("path", "query", "fault"),
    [
        ("0", {}, "numbered from 1"),
        ("x", {}, "numbered from 1"),
        ("verify", {"after": 1}, "number and the hash"),
        ("verify", {"after": 1, "hash": "x"}, "number and the hash"),
        ("export", {"format": "xml"}, "formats are"),
    ],
)
def test_what_makes_no_sense_is_refused(audited, path, query, fault):
    with pytest.raises(KeyfastError, match=fault):
        audited.admin.get(f"/admin/v1/audit/{path}", dict, query)
