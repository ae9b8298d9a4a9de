"""The audit trail in the store: no gaps whoever writes, in the transaction of the change or not at all."""

import asyncio
import re
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy import event as sqlalchemy_event
from tests.support.databases import new_database

from keyfast.core.audit import Actor, Broken, Fault, Head, Via, compared, follow
from keyfast.store import audit, audit_start, events
from keyfast.store.acts import acting
from keyfast.store.database import Database
from keyfast.store.tables import audit as table
from keyfast.store.tables import audit_head, event

ANNA = Actor("anna", Via.LOCAL_SOCKET, "administrator", "request 1")
BEN = Actor("ben", Via.HTTPS)


async def _forget(database, node, actor=ANNA):
    with acting(actor):
        async with database.write() as conn:
            await events.add(conn, at=7, kind="node_forgotten", endpoint_id=None, detail={"node": node, "pin": "1234"})


async def _all(database):
    async with database.read() as conn:
        return await audit.list_after(conn, 0, 1000)


async def _verified(database):
    async with database.read() as conn:
        end = follow(await audit.start(conn), await audit.list_after(conn, 0, 1000))
        return end if isinstance(end, Broken) else compared(end, await audit.head(conn))


async def test_an_act_is_on_record_with_its_change(database):
    await _forget(database, "one")
    (entry,) = await _all(database)
    record = entry.record
    assert (record.number, record.at, record.actor, record.role) == (1, 7, "anna", "administrator")
    assert (record.action, record.subject_kind, record.subject) == ("node_forgotten", "node", "one")
    assert (record.via, record.outcome, record.request) == ("local socket", "done", "request 1")
    assert record.detail == {}
    assert await _verified(database) is None


async def test_a_transaction_that_fails_leaves_neither_change_nor_record(database):
    async def fail():
        with acting(ANNA):
            async with database.write() as conn:
                await events.add(conn, at=7, kind="node_forgotten", endpoint_id=None, detail={"node": "one"})
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await _forget(database, "two")
    assert [entry.record.subject for entry in await _all(database)] == ["two"]
    async with database.read() as conn:
        assert len((await conn.execute(select(event))).all()) == 1


async def test_what_is_nobodys_act_is_not_on_it(database):
    async with database.write() as conn:
        await events.add(conn, at=7, kind="node_forgotten", endpoint_id=None, detail={"node": "one"})
        await events.add(conn, at=7, kind="logon_refused", endpoint_id=None, detail={"by": "anna"})
    assert await _all(database) == []
    assert await _verified(database) is None


async def test_what_the_server_does_by_itself_is_its_own_act(database):
    async with database.write() as conn:
        await events.add(conn, at=7, kind="window_expired", endpoint_id=None, detail={"window": "w"})
        await events.add(conn, at=7, kind="rotation_started", endpoint_id=None, detail={"rotation": "r", "by": "ben"})
    found = [(entry.record.actor, entry.record.via) for entry in await _all(database)]
    assert found == [("keyfast", "server"), ("ben", "server")]


async def test_two_servers_never_take_the_same_number(database, url):
    other = await Database.open(url)
    both = ((database, ANNA), (other, BEN))
    await asyncio.gather(*(_forget(at, f"{n}", actor) for n in range(12) for at, actor in both))
    await other.close()
    assert [entry.record.number for entry in await _all(database)] == list(range(1, 25))
    assert await _verified(database) is None


async def test_pages_are_newest_first_and_filtered(database):
    for node, actor in (("one", ANNA), ("two", BEN), ("three", ANNA)):
        await _forget(database, node, actor)

    async def subjects(**wanted):
        async with database.read() as conn:
            page = await audit.list_page(conn, **({"before": None, "limit": 10} | wanted))
        return [entry.record.subject for entry in page]

    assert await subjects() == ["three", "two", "one"]
    assert await subjects(before=3, limit=1) == ["two"]
    assert await subjects(actor="anna") == ["three", "one"]
    assert await subjects(subject="two", action="node_forgotten") == ["two"]
    assert await subjects(action="mode_opened") == []
    async with database.read() as conn:
        assert (await audit.get(conn, 2)).record.actor == "ben"
        assert await audit.get(conn, 4) is None


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        (update(table).where(table.c.number == 2).values(actor="nobody"), Broken(2, Fault.CHANGED)),
        (update(table).where(table.c.number == 2).values(detail='{"why": "x"}'), Broken(2, Fault.CHANGED)),
        (update(table).where(table.c.number == 2).values(detail="no JSON"), Broken(2, Fault.CHANGED)),
        (update(table).where(table.c.number == 2).values(hash="00" * 32), Broken(2, Fault.CHANGED)),
        (delete(table).where(table.c.number == 2), Broken(2, Fault.MISSING)),
        (delete(table).where(table.c.number == 1), Broken(1, Fault.MISSING)),
        (delete(table).where(table.c.number == 3), Broken(3, Fault.MISSING)),
        (update(audit_head).values(number=2), Broken(3, Fault.NOT_IN_HEAD)),
    ],
)
async def test_damage_is_named(database, damage, broken):
    for node in ("one", "two", "three"):
        await _forget(database, node)
    async with database.write() as conn:
        await conn.execute(damage)
    assert await _verified(database) == broken


def test_no_statement_changes_a_record_and_one_removes_them_from_the_front():
    by_name = re.compile(r"\b(update|delete)\(\s*(\w+\.)?audit\s*\)")
    by_text = re.compile(r"\b(UPDATE|DELETE\s+FROM)\s+audit\b")
    texts = {path: path.read_text() for path in Path(audit.__file__).parents[1].rglob("*.py")}
    found = {path.name: by_name.findall(text) + by_text.findall(text) for path, text in texts.items()}
    assert {name: len(statements) for name, statements in found.items() if statements} == {"audit_start.py": 1}
    assert "delete(audit).where(audit.c.number <= start.after.number)" in Path(audit_start.__file__).read_text()


@pytest.fixture
def sqlite(tmp_path) -> str:
    return new_database("sqlite", tmp_path)


FOUND_BY = [
    ({"actor": "a"}, "audit_actor_number (actor=? AND number<?)"),
    ({"action": "b"}, "audit_action_number (action=? AND number<?)"),
    ({"subject": "c"}, "audit_subject_number (subject=? AND number<?)"),
    ({"actor": "a", "action": "b"}, "audit_actor_action_number (actor=? AND action=? AND number<?)"),
    ({}, ""),
]


@pytest.mark.parametrize(("filters", "index"), FOUND_BY)
async def test_a_page_is_found_by_an_index(sqlite, filters, index):
    database, asked = await Database.open(sqlite), []

    @sqlalchemy_event.listens_for(database._reader.sync_engine, "before_cursor_execute")
    def keep(conn, cursor, statement, parameters, context, many):
        asked.append(statement)

    async with database.read() as conn:
        await audit.list_page(conn, before=9, limit=5, **filters)
        plan = str((await conn.exec_driver_sql("EXPLAIN QUERY PLAN " + asked[-1].replace("?", "1"))).all())
    await database.close()
    assert "SEARCH audit" in plan
    assert index in plan
    assert "TEMP B-TREE" not in plan


async def test_an_empty_trail_ends_where_it_starts(database):
    async with database.read() as conn:
        assert await audit.head(conn) == await audit.start(conn)
        assert (await audit.head(conn)).number == 0
        assert isinstance(await audit.head(conn), Head)
