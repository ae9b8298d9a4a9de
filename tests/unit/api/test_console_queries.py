"""No page reads endpoints one after the other to count them or to find some: every query of every page, explained."""

import re

import pytest
from sqlalchemy import event

from keyfast.api.console.pages import PAGES

LARGE = ("endpoint", "presence", "inventory", "inventory_change", "command", "device_key", "fork", "event", "audit")
"""Tables with a row, or many, for each endpoint, or for each act."""
WALKS = re.compile(rf"SCAN ({'|'.join(LARGE)})\b(?! USING (COVERING )?INDEX)")
LARGE_SCAN = re.compile(rf"SCAN ({'|'.join(LARGE)})\b")
NEWEST = re.compile(
    r"^SELECT [^()]+\sFROM (event ORDER BY event\.id|audit ORDER BY audit\.number) DESC\s+LIMIT", re.DOTALL
)
"""The newest so many, from the end of the table: a walk that stops."""


class Listener:
    """Hears of every query, with what it was asked with."""

    def __init__(self, database):
        self.heard: list[tuple[str, object]] = []
        self._engine = database._reader.sync_engine
        event.listen(self._engine, "before_cursor_execute", self._hear)

    def _hear(self, conn, cursor, statement, parameters, context, many):
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.heard.append((statement, parameters))

    def close(self):
        event.remove(self._engine, "before_cursor_execute", self._hear)


def pages(town):
    """Every page, with what it can be asked for."""
    endpoint = town.endpoints[0].record.endpoint_id
    ada = town.browser("ada")
    window = ada.post("/windows", reason="r", minutes="60", ranges="any", account="LOCAL\\svc-a")
    found = {
        "/endpoints": [
            "/endpoints?q=pc-0",
            "/endpoints?state=active",
            "/endpoints?state=pending",
            "/endpoints?account=LOCAL%5Csvc-a&q=pc-&state=active",
            "/endpoints?q=no-such-serial",
            "/endpoints?disks=exposed",
            "/endpoints?disks=unknown&state=active&q=pc-",
            "/endpoints?ring=default",
            f"/endpoints?package={endpoint}",
            f"/endpoints?disks=unknown&after={endpoint}",
            f"/endpoints?q=pc-&state=active&after={endpoint}",
        ],
        "/endpoints/{id}": [f"/endpoints/{endpoint}"],
        "/accounts/show": ["/accounts/show?account=LOCAL%5Csvc-a"],
        "/recovery/way": ["/recovery/way?account=LOCAL%5Csvc-a&way=device-key"],
        "/events": ["/events?before=5"],
        "/audit": [
            "/audit?actor=ada",
            "/audit?action=window_opened&before=9",
            "/audit?actor=ada&action=window_opened",
            "/audit?actor=ada&action=window_opened&subject=x&before=9",
        ],
        "/audit/{number}": ["/audit/1"],
        "/audit/verify": ["/audit/verify?after=0"],
        "/packages/{id}": [
            f"/packages/{town.bundle.package_id}" if hasattr(town.bundle, "package_id") else "/packages"
        ],
        "/windows/{id}": [window.headers["location"].partition("?")[0]],
    }
    for row in PAGES:
        if row.method == "GET":
            yield from found.get(row.path, [])
            if "{" not in row.path:
                yield row.path


async def plans(town, heard):
    """What SQLite says that it does for each query."""
    async with town.site._parts.database.read() as conn:
        for statement, parameters in heard:
            rows = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            yield statement, "; ".join(str(row[3]) for row in rows)


@pytest.fixture
def heard(town):
    for row in PAGES:
        assert row.method in {"GET", "POST"}
    wanted = list(pages(town))
    browser = town.browser("ada")
    listener = Listener(town.site._parts.database)
    for path in wanted:
        assert browser.get(path).status_code in {200, 303, 400, 404}, path
    listener.close()
    return list({statement: (statement, parameters) for statement, parameters in listener.heard}.values())


def test_no_page_walks_over_all_endpoints_or_acts(town, heard):
    async def explained():
        return [(statement, plan) async for statement, plan in plans(town, heard)]

    found = town.run(explained())
    assert len(found) > 30
    walked = [(plan, query) for query, plan in found if WALKS.search(plan) and not NEWEST.search(query)]
    assert walked == []
    counted = [query for query, plan in found if "count(" in query and LARGE_SCAN.search(plan)]
    assert counted == []
