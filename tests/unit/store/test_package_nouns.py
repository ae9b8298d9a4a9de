"""Records of packages on both databases: the intent, its end, the allow-list, and who came from one."""

import sqlite3
from dataclasses import replace

import pytest
from tests.support.databases import NOW, endpoint_row, new_database, some_id

from keyfast.core.endpoint import EndpointState
from keyfast.core.package import PackageKind
from keyfast.core.package_life import PackageState
from keyfast.store import endpoints, package_endpoints, packages
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.store.url import sqlite_path


def intent(**changes):
    row = PackageRow(some_id(), NOW, "admin", "oauth", "ring", "auto", "f.msi", "", None, kind=PackageKind.MSI)
    return replace(row, state=PackageState.BUILDING, **changes)


def token(row):
    return EnrolmentTokenRow(f"jti {row.id}", row.id, NOW, NOW + 60, 2, 0, None)


async def test_an_intent_ends_once_and_only_then_has_a_token(database):
    row, other = intent(), intent()
    ready = replace(row, state=PackageState.READY, sha256="ab", size=7, built_at=NOW + 1)
    async with database.write() as conn:
        for made in (row, other):
            await packages.create(conn, made)
        assert {found.id for found in await packages.building(conn)} == {row.id, other.id}
        assert await packages.tokens(conn, [row.id]) == {}
        assert await packages.finish(conn, ready, token(row))
        assert not await packages.finish(conn, replace(ready, state=PackageState.FAILED))
        assert await packages.get(conn, row.id) == ready == await packages.by_digest(conn, "ab")
        assert await packages.tokens(conn, [row.id, other.id]) == {row.id: token(row)}
        assert [found.id for found in await packages.building(conn)] == [other.id]


async def test_an_allow_list_names_computers_of_one_package(database):
    row, other = intent(serials=2), intent()
    async with database.write() as conn:
        await packages.create(conn, row, serials=["A1", "B2"])
        await packages.create(conn, other, serials=["C3"])
        asked = ({"A1"}, {"X", "B2"}, {"C3"}, {"a1"}, set())
        assert [await packages.lists(conn, row.id, names) for names in asked] == [True, True, False, False, False]
        await packages.forget_list(conn, row.id)
        assert not await packages.lists(conn, row.id, {"A1"})
        assert await packages.lists(conn, other.id, {"C3"})


async def test_a_package_is_found_among_whatever_a_file_names(database):
    row = intent()
    async with database.write() as conn:
        await packages.create(conn, row)
        assert await packages.named(conn, ["nonsense", some_id(), row.id]) == row
        assert await packages.named(conn, ["nonsense"]) is None
        assert await packages.by_digest(conn, "ff") is None


async def test_who_came_from_a_package_is_paged_newest_first(database):
    package, rows = some_id(), []
    async with database.write() as conn:
        for number in range(5):
            row = replace(endpoint_row(some_id()), package_id=package, registered_at=NOW + number // 2)
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
            rows.append(row)
        await endpoints.insert(conn, replace(endpoint_row(some_id()), package_id=some_id()), EndpointState.ACTIVE)
        expected = [row.id for row in sorted(rows, key=lambda row: (row.registered_at, row.id), reverse=True)]
        first = await package_endpoints.page(conn, package, after="", limit=3)
        rest = await package_endpoints.page(conn, package, after=first[-1].id, limit=3)
        assert [row.id for row in (*first, *rest)] == expected
        assert await package_endpoints.page(conn, package, after=some_id(), limit=3) == []
        assert await package_endpoints.seen_at(conn, package, among=10) == 0


PLANS = (
    "SELECT id FROM endpoint WHERE package_id = x'00' ORDER BY registered_at DESC, id DESC LIMIT 10",
    "SELECT * FROM package WHERE state = 'building'",
    "SELECT * FROM package WHERE sha256 = 'ab' ORDER BY created_at DESC LIMIT 1",
    "SELECT serial FROM package_serial WHERE package_id = x'00' AND serial IN ('a', 'b') LIMIT 1",
)


@pytest.mark.parametrize("sql", PLANS)
def test_nothing_is_found_by_reading_everything(tmp_path, sql):
    conn = sqlite3.connect(sqlite_path(new_database("sqlite", tmp_path)))
    plan = " ".join(str(row) for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}"))
    conn.close()
    assert "SCAN endpoint" not in plan
    assert "INDEX" in plan or "PRIMARY KEY" in plan
