"""The migrated schema is the one the tables describe; a schema of another version is told."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.support.databases import KINDS, endpoint_row, new_database
from tests.support.postgres import shared_cluster

from keyfast.core.endpoint import EndpointState
from keyfast.errors import NotReadyError, UsageError
from keyfast.store import endpoints, migrations, postgres, postgres_batch, sqlite_batch
from keyfast.store.database import Database
from keyfast.store.migrations import HEAD
from keyfast.store.schema import upgrade
from keyfast.store.tables import metadata
from keyfast.store.url import sqlite_path
from keyfast.store.writer import open_writer

_POSTGRES_SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT relname, '', reloptions::text, '', '', '' FROM pg_class
 WHERE reloptions IS NOT NULL AND relkind = 'r'
"""


def _empty(kind, folder):
    return shared_cluster().create_database(migrated=False) if kind == "postgres" else f"sqlite:///{folder}/empty.db"


async def _shape(conn: AsyncConnection) -> set[tuple[object, ...]]:
    sqlite = conn.dialect.name == "sqlite"
    rows = await conn.exec_driver_sql("SELECT tbl_name, name, sql FROM sqlite_master" if sqlite else _POSTGRES_SHAPE)
    found = {tuple("".join(str(value).split()) for value in row) for row in rows}
    return {row for row in found if "alembic" not in row[0]}


async def test_alembic_sees_no_difference(database):
    async with database.read() as conn:
        assert await conn.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_catalogue_is_the_same_to_the_letter(tmp_path, kind, catalogues):
    migrated, made = catalogues
    assert len(migrated) > 20
    assert migrated == made


@pytest.fixture
async def catalogues(urls):
    shapes = []
    if (path := sqlite_path(urls[1])) is not None:
        path.touch()
    for url, make in zip(urls, (False, True), strict=True):
        database = await Database.open(url)
        async with database.write() as conn:
            if make:
                await conn.run_sync(metadata.create_all)
            shapes.append(await _shape(conn))
        await database.close()
    return shapes


@pytest.fixture
def urls(kind, tmp_path):
    return new_database(kind, tmp_path), _empty(kind, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_upgrading_twice_is_upgrading_once(kind, tmp_path):
    url = _empty(kind, tmp_path)
    upgrade(url)
    upgrade(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_schema_is_told(urls, kind):
    if kind == "sqlite":
        sqlite_path(urls[1]).touch()
    empty = await Database.open(urls[1])
    with pytest.raises(NotReadyError, match="missing"):
        await empty.check_schema()
    await empty.close()
    migrated = await Database.open(urls[0])
    await migrated.check_schema()
    await migrated.close()


def test_the_sqlite_file_is_private(tmp_path):
    url = _empty("sqlite", tmp_path)
    upgrade(url)
    assert sqlite_path(url).stat().st_mode & 0o777 == 0o600


async def test_any_path_will_do(tmp_path):
    odd = tmp_path / "a ?#%25ü.db"
    await asyncio.to_thread(upgrade, f"sqlite:///{odd}")
    database = await Database.open(f"sqlite:///{odd}")
    await database.check_schema()
    await database.close()
    await (await open_writer(f"sqlite:///{odd}")).close()
    assert {path.name for path in tmp_path.iterdir()} == {odd.name}


@pytest.mark.parametrize("url", ["sqlite://relative.db", "sqlite:///relative.db", "mysql://x/y", ""])
async def test_other_urls_are_refused(url):
    with pytest.raises(UsageError):
        await Database.open(url)


async def test_a_closed_database_stays_closed(url):
    database = await Database.open(url)
    await database.close()
    for opening in (database.read, database.write):
        with pytest.raises(NotReadyError):
            async with opening():
                pass
    await database.close()


async def test_an_unreachable_database_is_not_ready():
    database = await Database.open("postgresql://x@127.0.0.1:1/y")
    with pytest.raises(NotReadyError) as caught:
        async with database.read():
            pass
    assert caught.value.__cause__ is not None
    await database.close()


async def test_a_missing_sqlite_file_is_told_and_not_made(tmp_path):
    missing = tmp_path / "missing.db"
    with pytest.raises(NotReadyError):
        await Database.open(f"sqlite:///{missing}")
    assert not missing.exists()


def test_upgrading_an_unreachable_database_is_not_ready():
    with pytest.raises(NotReadyError):
        upgrade("sqlite:////nowhere/x.db")


async def _insert_and_fail(database, row):
    async with database.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
        raise ZeroDivisionError


async def test_faults_of_the_caller_pass_unchanged(database):
    row = endpoint_row()
    with pytest.raises(ZeroDivisionError):
        await _insert_and_fail(database, row)
    async with database.read() as conn:
        assert await endpoints.get(conn, row.id) is None


def test_no_statement_of_the_sqlite_batch_scans_a_table(tmp_path):
    conn = sqlite3.connect(sqlite_path(new_database("sqlite", tmp_path)))
    statements = {name: value for name, value in vars(sqlite_batch).items() if isinstance(value, str) and " " in value}
    statements["_STANDINGS"] = sqlite_batch._standings_sql(64)[0]
    checked = 0
    for name, sql in statements.items():
        if name.startswith("_") and not name.startswith("__"):
            count = (
                max(sql.count("?"), 1)
                if "?1" not in sql
                else max(int(digit) for digit in "12345" if f"?{digit}" in sql)
            )
            plan = " ".join(str(row) for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * count))
            assert "SCAN" not in plan.replace("SCAN CONSTANT ROW", ""), (name, plan)
            checked += 1
    conn.close()
    assert checked >= 10


@pytest.mark.parametrize("kind", ["postgres"])
async def test_no_statement_of_the_postgres_batch_scans_a_table(urls, kind):
    """The writer's session may not scan even a table that its statistics call empty."""
    conn = await postgres.connect(urls[0], lookups_only=True)
    statements = [value for name, value in vars(postgres_batch).items() if name.isupper() and isinstance(value, str)]
    for number, sql in enumerate(statements):
        count = max(at for at in range(1, 30) if f"${at}" in sql)
        await conn.execute(f"PREPARE s{number} AS {sql}")
        nulls = ", ".join(["NULL"] * count)
        plan = " ".join(row[0] for row in await conn.fetch(f"EXPLAIN EXECUTE s{number}({nulls})"))
        assert "Seq Scan" not in plan, (sql, plan)
    assert len(statements) >= 8
    await conn.close()


@pytest.mark.parametrize("kind", ["postgres"])
async def test_a_session_acknowledges_only_what_is_durable(urls, kind):
    conn = await postgres.connect(urls[0])
    assert await conn.fetchval("SHOW synchronous_commit") == "on"
    await conn.close()


def test_the_newest_revision_is_the_one_that_this_version_needs():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
