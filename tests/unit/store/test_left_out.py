"""Who has no change of a rotation is counted a portion at a time: no statement reads every endpoint."""

from dataclasses import replace

import pytest
from sqlalchemy import event
from tests.support.databases import NOW, endpoint_row, in_read, some_id

from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.store import endpoints, rotation_counts, rotation_targets
from keyfast.store.rotation_targets import ZERO, Scope

SCOPE = Scope("windows", "", "")
ROTATION = some_id()


async def joined(database, number, mode=Mode.WINDOWS):
    async with database.write() as conn:
        for place in range(number):
            await endpoints.insert(conn, replace(endpoint_row(name=f"pc-{place}"), mode=mode), EndpointState.ACTIVE)


@pytest.fixture
async def rotation(database):
    """A rotation of ten endpoints, and four that joined later; three of another mode are not meant."""
    await joined(database, 10)
    where = {"before": 0, "cursor": ZERO, "wrapped": False, "limit": 99, "now": NOW}
    async with database.write() as conn:
        await rotation_targets.add_portion(conn, ROTATION, SCOPE, (10,), **where)
    await joined(database, 4)
    await joined(database, 3, Mode.OAUTH)


@pytest.mark.parametrize("portion", [1, 2, 7, 17, 100])
async def test_everybody_is_met_once(database, rotation, monkeypatch, portion):
    monkeypatch.setattr(rotation_counts, "PORTION", portion)
    assert await in_read(database, rotation_counts.uncovered, ROTATION, SCOPE) == 4
    assert await in_read(database, rotation_counts.uncovered, some_id(), SCOPE) == 14
    assert await in_read(database, rotation_counts.uncovered, ROTATION, Scope("oauth", "", "")) == 3
    monkeypatch.setattr(rotation_counts, "ENOUGH", 3)
    assert await in_read(database, rotation_counts.uncovered, some_id(), SCOPE) == 3


async def test_nobody_is_there(database):
    assert await in_read(database, rotation_counts.uncovered, ROTATION, SCOPE) == 0


async def test_each_statement_is_about_a_part_of_the_endpoints(database, rotation, monkeypatch):
    monkeypatch.setattr(rotation_counts, "PORTION", 5)
    heard = []

    def hear(conn, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT"):
            heard.append((statement, parameters))

    async with database.read() as conn:
        if conn.dialect.name != "sqlite":
            return
        event.listen(database._reader.sync_engine, "before_cursor_execute", hear)
        await rotation_counts.uncovered(conn, ROTATION, SCOPE)
        event.remove(database._reader.sync_engine, "before_cursor_execute", hear)
        assert len(heard) == 2 * 4
        for statement, parameters in heard:
            plan = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            told = "\n".join(str(row[3]) for row in plan)
            assert "SCAN" not in told, told
            assert "command_rotation" not in told, told
