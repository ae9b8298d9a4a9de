"""A trail whose front was removed: as sealed as before, and nobody can make it seem so who only has the database."""

import asyncio
import os

import pytest
from sqlalchemy import delete, insert, select, update
from tests.support.databases import KINDS, new_database

from keyfast.cli.audit_file import verified_file
from keyfast.core.audit import Act, Actor, Head, Via
from keyfast.core.audit_actions import SHORTENED
from keyfast.core.audit_keep import DAY
from keyfast.errors import NotFoundError, NotReadyError, TrustError
from keyfast.services import audit_keep
from keyfast.services.audit import AuditService
from keyfast.services.audit_keep import TrailKeeper
from keyfast.services.audit_seal import Seals, TrailSealer
from keyfast.services.keyring import KeyringService
from keyfast.settings_audit import AuditSettings
from keyfast.store import audit, audit_start
from keyfast.store.database import Database
from keyfast.store.tables import audit as table
from keyfast.store.tables import audit_head
from keyfast.store.tables import audit_start as begins
from keyfast.wire.audit_formats import Format

DAYS = 90
ANNA, BEN = Actor("anna", Via.LOCAL_SOCKET), Actor("ben", Via.HTTPS)


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


class Archive:
    """A trail with a past, its seals, and who removes what is old."""

    def __init__(self, site, folder):
        self.site, self.folder = site, folder
        self.seals = Seals(lambda: site.kek)
        self.trail = AuditService(site.live, site.database, self.seals, "server", site.clock)
        self.sealer = TrailSealer(site.database, self.seals, site.clock)
        self.keeper = self.node(site.database)

    def node(self, database, days=DAYS, *, folder=None):
        return TrailKeeper(database, self.seals, AuditSettings(days, folder), self.site.clock)

    async def act(self, *names, actor=ANNA):
        at = int(self.site.clock.now)
        acts = [Act(at, actor, "node_forgotten", "node", name, {}) for name in names]
        async with self.site.database.write() as conn:
            await audit.append(conn, acts)

    async def do(self, *statements):
        async with self.site.database.write() as conn:
            for statement in statements:
                await conn.execute(statement)

    async def numbers(self):
        async with self.site.database.read() as conn:
            return list(await conn.scalars(select(table.c.number).order_by(table.c.number)))

    async def verified(self):
        return await self.trail.verify(None)

    async def found(self):
        found = await self.verified()
        return found.broken, found.fault


@pytest.fixture
async def archive(site, tmp_path):
    """Records 1 to 4 and their seal, 5, are old; 6 and its seal, 7, are of today."""
    made = Archive(site, tmp_path / "removed")
    await made.act("one", "two", actor=BEN)
    await made.act("three", "four")
    await made.sealer.tick()
    site.clock.now += (DAYS + 1) * DAY
    await made.act("six")
    await made.sealer.tick()
    return made


async def test_what_is_old_and_sealed_goes_and_the_rest_is_as_good_as_before(archive, site):
    before = {entry.record.number: entry.hash for entry in await archive.trail.list_page(before=None, limit=9)}
    await archive.keeper.tick()
    assert await archive.numbers() == [6, 7, 8]
    found = await archive.verified()
    assert (found.broken, found.done, found.sealed, found.upto.number) == (0, True, 6, 8)
    begun = found.beginning
    assert (begun.after, begun.record, begun.by, begun.at) == (Head(5, before[5]), 8, "keyfast", site.clock.now)
    told = (await archive.trail.show(8)).record
    assert (told.action, told.actor, told.subject) == (SHORTENED, "keyfast", "5")
    assert told.detail == {"first": "1", "upto": "5", "hash": before[5], "days": "90"}
    await archive.sealer.tick()
    assert (await archive.verified()).sealed == 8
    await archive.keeper.tick()
    assert await archive.numbers() == [6, 7, 8, 9]


async def test_it_is_found_paged_and_exported_as_before(archive, tmp_path):
    await archive.keeper.tick()
    assert [entry.record.number for entry in await archive.trail.list_page(before=7, limit=9)] == [6]
    assert await archive.trail.list_page(before=None, limit=9, actor="ben") == []
    both = await archive.trail.list_page(before=None, limit=9, actor="keyfast", action=SHORTENED)
    assert [entry.record.number for entry in both] == [8]
    assert await archive.trail.span() == (6, 8)
    with pytest.raises(NotFoundError, match="was removed; the trail is kept from record 6 on"):
        await archive.trail.show(5)
    with pytest.raises(NotFoundError, match="no record 9"):
        await archive.trail.show(9)
    exported = [part async for part in archive.trail.export(Format.JSONL, 0, 8)]
    (tmp_path / "trail").write_bytes(b"".join(exported))
    installation = (await archive.trail.head()).installation
    found = verified_file(tmp_path / "trail", installation, None)
    assert (found.broken, found.upto.number, found.beginning) == (0, 8, (await archive.verified()).beginning)


async def test_a_trail_is_kept_for_ever_unless_somebody_says_otherwise(archive, site):
    await archive.node(site.database, AuditSettings().keep_days).tick()
    assert len(await archive.numbers()) == 7
    assert (await archive.verified()).beginning is None


async def test_what_no_seal_vouches_for_stays(site, tmp_path):
    archive = Archive(site, tmp_path)
    await archive.act("one")
    await archive.sealer.tick()
    await archive.act("three", "four")
    site.clock.now += (DAYS + 1) * DAY
    await archive.keeper.tick()
    assert await archive.numbers() == [2, 3, 4, 5]  # the seal itself is vouched for by none
    await archive.sealer.tick()
    await archive.keeper.tick()
    assert await archive.numbers() == [5, 6, 7]
    assert await archive.found() == (0, "")


async def test_it_goes_on_in_portions_and_again_another_day(archive, site, monkeypatch):
    monkeypatch.setattr(audit_keep, "PORTION", 2)
    await archive.keeper.tick()
    assert await archive.numbers() == [6, 7, 8, 9, 10]
    told = await archive.trail.list_page(before=None, limit=9, action=SHORTENED)
    assert [entry.record.detail["upto"] for entry in told] == ["5", "4", "2"]
    await archive.sealer.tick()
    site.clock.now += (DAYS + 1) * DAY
    await archive.act("of another day")
    await archive.sealer.tick()
    await archive.keeper.tick()
    assert (await archive.numbers())[0] == 12
    assert await archive.found() == (0, "")


async def test_a_verification_goes_on_that_was_overtaken(archive):
    first = await archive.verified()
    await archive.keeper.tick()
    found = await archive.trail.verify(Head(3, "00" * 32))
    assert (found.broken, found.upto.number) == (0, 8)
    assert (await archive.trail.verify(first.upto)).broken == 0


async def test_of_several_nodes_one_removes(archive, url):
    others = [await Database.open(url) for _ in range(3)]
    await asyncio.gather(*(archive.node(other).tick() for other in others))
    assert await archive.numbers() == [6, 7, 8]
    assert await archive.found() == (0, "")
    for other in others:
        await other.close()


# --- what goes is written to a folder before


async def test_what_goes_is_in_a_file_before(archive, site, monkeypatch):
    monkeypatch.setattr(audit_keep, "PORTION", 3)
    whole = b"".join([part async for part in archive.trail.export(Format.JSONL, 0, 5)])
    await archive.node(site.database, folder=archive.folder).tick()
    files = sorted(archive.folder.iterdir())
    names = ["keyfast-audit-000000000001-000000000003.jsonl", "keyfast-audit-000000000004-000000000005.jsonl"]
    assert [file.name for file in files] == names
    assert b"".join(file.read_bytes() for file in files) == whole
    assert [oct(path.stat().st_mode & 0o777) for path in (archive.folder, *files)] == ["0o700", "0o600", "0o600"]
    told = await archive.trail.list_page(before=None, limit=9, action=SHORTENED)
    assert [entry.record.detail["file"] for entry in told] == names[::-1]
    assert (await archive.verified()).beginning.file == names[1]
    joined = archive.folder / "joined"
    joined.write_bytes(whole)
    installation = (await archive.trail.head()).installation
    assert verified_file(joined, installation, (await archive.verified()).beginning.after).broken == 0


async def test_what_cannot_be_written_stays(archive, site):
    archive.folder.write_text("no folder")
    with pytest.raises(NotReadyError, match="cannot be written"):
        await archive.node(site.database, folder=archive.folder / "x").tick()
    assert len(await archive.numbers()) == 7


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_server_that_dies_leaves_a_file_too_many_and_no_record_too_few(
    archive, site, monkeypatch, after_commit
):
    def die(*_):
        raise KeyboardInterrupt

    keeper = archive.node(site.database, folder=archive.folder)
    if after_commit:
        monkeypatch.setattr(keeper, "_remove", _then(keeper._remove, die))
    else:
        monkeypatch.setattr(audit_keep.acts, "note", die)
    with pytest.raises(KeyboardInterrupt):
        await keeper.tick()
    monkeypatch.undo()
    assert await archive.numbers() == ([6, 7, 8] if after_commit else list(range(1, 8)))
    assert await archive.found() == (0, "")
    await archive.node(site.database, folder=archive.folder).tick()
    assert await archive.numbers() == [6, 7, 8]
    assert len(list(archive.folder.iterdir())) == 1


def _then(work, after):
    async def both(last):
        await work(last)
        after()

    return both


# --- whoever has the database, and not the KEK


async def test_a_front_that_was_removed_by_hand_is_missing(archive):
    await archive.do(delete(table).where(table.c.number <= 3))
    assert await archive.found() == (1, "missing")
    with pytest.raises(TrustError, match="broken at record 1"):
        await archive.keeper.tick()
    assert await archive.numbers() == [4, 5, 6, 7]


async def test_more_of_it_than_the_server_removed_is_missing(archive):
    await archive.keeper.tick()
    await archive.do(delete(table).where(table.c.number <= 6))
    assert await archive.found() == (6, "missing")


@pytest.mark.parametrize("how", ["made up", "the seal of the end", "the seal that there is", "of another KEK"])
async def test_a_beginning_that_the_server_did_not_seal_is_none(archive, how):
    """They remove more, say that the trail begins there, and put what they have in the seal's place."""
    await archive.keeper.tick()
    async with archive.site.database.read() as conn:
        kept, real = await audit_start.get(conn)
        end, last = await audit.get(conn, 7), await audit.get(conn, 6)
    sealed = {
        "made up": "v1.k.AAAA",
        "the seal of the end": end.record.detail["seal"],
        "the seal that there is": real,
        "of another KEK": real[:-4] + "AAAA",
    }[how]
    forged = {"number": 6, "hash": last.hash, "record": kept.record, "sealed": sealed}
    await archive.do(delete(table).where(table.c.number <= 6), update(begins).values(forged))
    assert await archive.found() == (7, "not the beginning")
    assert "did not seal" in (await archive.verified()).sentence
    with pytest.raises(TrustError, match="does not begin where"):
        await archive.keeper.tick()


async def test_the_same_where_nothing_was_ever_removed(archive):
    async with archive.site.database.read() as conn:
        third, seal = await audit.get(conn, 4), (await audit.get(conn, 5)).record.detail["seal"]
    forged = {"id": 1, "number": 4, "hash": third.hash, "record": 5, "sealed": seal}
    await archive.do(delete(table).where(table.c.number <= 4), insert(begins).values(forged))
    assert await archive.found() == (5, "not the beginning")
    assert (await archive.verified()).beginning.by == ""


async def test_an_older_beginning_does_not_explain_what_is_missing(archive, monkeypatch):
    monkeypatch.setattr(audit_keep, "PORTION", 2)
    keeper = archive.keeper
    last = await keeper._last()
    assert await keeper._remove(last)
    async with archive.site.database.read() as conn:
        older = (await conn.execute(select(begins))).one()._asdict()
    await keeper.tick()
    assert await archive.found() == (0, "")
    await archive.do(update(begins).values(older))
    assert await archive.found() == (3, "missing")


@pytest.mark.parametrize("statement", [delete(begins), update(begins).values(number=0)])
async def test_without_its_beginning_a_trail_lacks_everything_before(archive, statement):
    await archive.keeper.tick()
    await archive.do(statement)
    assert await archive.found() == (1, "missing")


async def test_a_record_that_is_put_before_the_beginning_is_named(archive):
    await archive.keeper.tick()
    async with archive.site.database.read() as conn:
        entry = await audit.get(conn, 6)
    await archive.do(insert(table).values(audit._columns(entry) | {"number": 3, "actor": "eve"}))
    assert await archive.found() == (6, "before the beginning")
    with pytest.raises(TrustError, match="broken at record 6"):
        await archive.keeper.tick()
    assert 3 in await archive.numbers()


async def test_nor_can_one_be_put_before_the_first(archive):
    async with archive.site.database.read() as conn:
        entry = await audit.get(conn, 1)
    await archive.do(insert(table).values(audit._columns(entry) | {"number": 0}))
    assert await archive.found() == (1, "before the beginning")
    assert "lies before record 1" in (await archive.verified()).sentence


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (update(table).where(table.c.number == 6).values(actor="eve"), (6, "changed")),
        (update(table).where(table.c.number == 8).values(actor="eve"), (8, "changed")),
        (delete(table).where(table.c.number == 7), (7, "missing")),
        (delete(table).where(table.c.number == 8), (8, "missing")),
        (update(audit_head).values(number=7), (8, "not in the head")),
    ],
)
async def test_what_is_left_is_guarded_as_before(archive, change, broken):
    await archive.keeper.tick()
    await archive.do(change)
    assert await archive.found() == broken


@pytest.mark.parametrize(
    "change",
    [
        update(table).where(table.c.number == 2).values(actor="eve"),
        delete(table).where(table.c.number == 2),
        update(table).where(table.c.number == 6).values(actor="eve"),
    ],
)
async def test_a_broken_trail_keeps_what_it_has(archive, change):
    """Also where the break is behind what is old: nothing good vouches for it then."""
    await archive.do(change)
    left = await archive.numbers()
    with pytest.raises(TrustError, match="nothing is removed"):
        await archive.keeper.tick()
    assert await archive.numbers() == left


async def test_a_trail_that_was_made_anew_keeps_what_it_has(archive, site):
    """Every hash fits, and the seal says that they were others."""
    async with site.database.read() as conn:
        entries = await audit.list_after(conn, 0, 9)
        before = await audit.start(conn)
    again = []
    for entry in entries:
        record = entry.record
        actor = Actor("eve" if record.number == 2 else record.actor, Via(record.via))
        act = Act(record.at, actor, record.action, record.subject_kind, record.subject, record.detail)
        again.append(audit.trail.appended(before, act))
        before = audit.trail.end_of(again[-1])
    await archive.do(delete(table), update(audit_head).values(number=before.number, hash=before.hash))
    async with site.database.write() as conn:
        await conn.execute(insert(table), [audit._columns(entry) for entry in again])
    with pytest.raises(TrustError, match="not as sealed"):
        await archive.keeper.tick()
    assert len(await archive.numbers()) == 7


# --- keys


async def test_keys_that_are_sealed_anew_leave_the_beginning_what_it_is(archive, site):
    await archive.keeper.tick()
    keyring = KeyringService(site.live, site.database, site.kek, site.settings.kek_file, site.clock)
    await keyring.rewrap("anna")
    assert await archive.found() == (0, "")
    await archive.do(update(begins).values(number=4))
    await keyring.rewrap("anna")  # what does not hold stands in nobody's way, and goes on not holding
    assert await archive.found() == (5, "not the beginning")
    await archive.do(update(begins).values(sealed="nonsense"))
    await keyring.rewrap("anna")
    assert (await archive.found())[1] == "not the beginning"


def test_root_may_not_be_needed(tmp_path):
    """Folders are private whatever the umask."""
    before = os.umask(0)
    try:
        audit_keep._write(tmp_path / "a" / "b", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
