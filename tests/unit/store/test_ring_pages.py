"""Endpoints of some rings are paged by name, at a cost that follows the page."""

from dataclasses import replace

import pytest
from msgspec import structs
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from tests.support.databases import endpoint_row, some_id

from keyfast.core.endpoint import EndpointState
from keyfast.core.protection import Disks
from keyfast.core.search import EVERYTHING, Search
from keyfast.store import endpoints

RINGS = ("a", "b", "c")


@pytest.fixture
async def names(database):
    """30 endpoints, their rings in turn, every fifth revoked; returns name -> ring and state."""
    made = {}
    async with database.write() as conn:
        for number in range(30):
            row = replace(endpoint_row(name=f"host-{number:02}"), ring=RINGS[number % 3])
            state = EndpointState.REVOKED if number % 5 == 0 else EndpointState.ACTIVE
            await endpoints.insert(conn, row, state)
            made[row.name] = (row.ring, state)
    return made


async def _all(database, rings, limit=4, **how):
    found, after = [], ""
    while True:
        async with database.read() as conn:
            page = await endpoints.list_page(conn, limit=limit, after=after, rings=rings, **how)
        found += [row.endpoint.name for row in page]
        if len(page) < limit:
            return found
        after = page[-1].endpoint.id


@pytest.mark.parametrize("rings", [(), ("a",), ("a", "c"), RINGS, ("nobody's",), ("a", "nobody's")])
@pytest.mark.parametrize("state", [None, EndpointState.REVOKED, EndpointState.ACTIVE])
async def test_every_endpoint_of_the_rings_comes_once_and_in_order(database, names, rings, state):
    expected = [
        name
        for name, (ring, is_in) in names.items()
        if (not rings or ring in rings) and (state is None or is_in is state)
    ]
    assert await _all(database, rings, wanted=Search(state=state)) == expected


async def test_a_prefix_holds_within_rings(database, names):
    assert await _all(database, ("a",), wanted=Search(name="host-1")) == ["host-12", "host-15", "host-18"]


async def test_the_ring_of_an_endpoint(database, names):
    async with database.read() as conn:
        first = (await endpoints.list_page(conn, limit=1))[0].endpoint
        assert await endpoints.ring_of(conn, first.id) == "a"
        assert await endpoints.ring_of(conn, some_id()) is None
        assert await endpoints.ring_of(conn, "nonsense") is None


@pytest.mark.parametrize("rings", [(), ("a", "c")])
@pytest.mark.parametrize("few", [5, 6])
async def test_few_or_many_in_a_state_are_the_same_page(database, names, monkeypatch, rings, few):
    monkeypatch.setattr(endpoints, "FEW", few)
    state = EndpointState.REVOKED
    expected = [name for name, (ring, is_in) in names.items() if is_in is state and (not rings or ring in rings)]
    assert len(expected) > 3
    assert await _all(database, rings, limit=2, wanted=Search(state=state)) == expected
    some = [name for name in expected if name.startswith("host-1")]
    assert await _all(database, rings, wanted=Search(state=state, name="host-1")) == some


NOBODY = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rings": ("a",)},
        {"user": "alice"},
        *({"wanted": Search(**word)} for word in ({"account": "CORP\\svc"}, {"name": "host-"}, {"package": NOBODY})),
        {"wanted": Search(disks=Disks.EXPOSED)},
    ],
)
async def test_few_in_a_state_are_found_by_their_state(database, names, how):
    """Whatever else is asked for: they may be the last of all names."""
    heard = []

    def hear(conn, cursor, statement, parameters, context, many):
        heard.append((statement, parameters))

    engine = database._reader.sync_engine
    async with database.read() as conn:
        listed = (await endpoints.list_page(conn, limit=1, wanted=Search(state=EndpointState.REVOKED)))[0]
        event.listen(engine, "before_cursor_execute", hear)
        wanted = structs.replace(how.get("wanted", EVERYTHING), state=EndpointState.REVOKED)
        how = {"after": listed.endpoint.id, "limit": 4} | how | {"wanted": wanted}
        await endpoints.list_page(conn, **how)
        event.remove(engine, "before_cursor_execute", hear)
        asked = [(statement, parameters) for statement, parameters in heard if "ORDER BY" in statement]
        if conn.dialect.name == "sqlite":
            (plan,) = [
                await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                for statement, parameters in asked
            ]
            told = "\n".join(str(row) for row in plan)
            assert "presence_not_active" in told, told
            assert "_name_id" not in told, told


async def test_no_ring_is_sorted_as_a_whole(database, names):
    page = endpoints._records().order_by(endpoints.endpoint.c.name, endpoints.endpoint.c.id).limit(4)
    asked = endpoints._of_rings(page, ("a", "c"), 4)
    async with database.read() as conn:
        sqlite_ = conn.dialect.name == "sqlite"
        text = asked.compile(
            dialect=(sqlite if sqlite_ else postgresql).dialect(), compile_kwargs={"literal_binds": True}
        )
        if not sqlite_:
            await conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = await conn.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if sqlite_ else ''}{text}")
        plan = "\n".join(str(row) for row in rows)
    assert plan.count("endpoint_ring_name_id") == 2, plan
