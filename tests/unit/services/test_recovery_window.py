"""Recovery windows as administrators and endpoints meet them."""

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import update
from tests.support.databases import NOW, endpoint_row

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.window import CLOSING
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.services.recovery_window import RecoveryWindowService, account_named
from keyfast.services.window_gate import WindowGate, reached
from keyfast.store import commands, endpoints
from keyfast.store.commands import CommandRow
from keyfast.store.tables import command, installation, presence
from keyfast.wire.window import WindowClose, WindowOrder

KEY = "CORP\\svc-see"
ORDER = WindowOrder("password changed", 60, ("192.0.2.0/24",), account=KEY)


@pytest.fixture
def windows(site):
    return RecoveryWindowService(site.live, site.database, site.clock, page=1)


@pytest.fixture
async def fleet(site):
    """Three endpoints of the account, by name."""
    await site.add()
    return {name: await enrol(site, name) for name in ("lab-1", "lab-2", "lab-3")}


async def enrol(site, name, **changes):
    row = replace(endpoint_row(name=name), account_key=KEY, generation=1, mode=Mode.WINDOWS, **changes)
    async with site.database.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
    return row.id


async def ask(site, endpoint_id):
    async with site.database.write() as conn:
        return await reached(conn, endpoint_id, int(site.clock()))


async def comes_back(site, endpoint_id, state=CommandState.APPLIED):
    now = int(site.clock())
    async with site.database.write() as conn:
        row = CommandRow(
            endpoint_id,
            await commands.next_seq(conn, endpoint_id),
            endpoint_id,
            "ChangeWebAccessServer",
            "",
            state,
            now,
            now + 9,
            now,
        )
        await conn.execute(
            command.insert().values({name: getattr(row, name) for name in CommandRow.__slots__} | {"state": row.state})
        )
        await conn.execute(update(presence).where(presence.c.endpoint_id == endpoint_id).values(seen_at=now))


async def test_a_window_is_opened_with_a_reason_and_a_snapshot_and_told(site, windows, fleet):
    view = await windows.open_(replace_order(account="svc-see"), "admin")
    assert (view.line.state, view.line.account, view.line.ranges) == ("open", KEY, ("192.0.2.0/24",))
    assert (view.line.deadline, view.line.counts.unreached) == (NOW + 3600, 3)
    assert {member.name for member in view.missing} == set(fleet)
    assert site.live.current.window.id == view.line.id
    assert "another 60 min (password changed)" in windows.banner()
    ((_, detail),) = await site.events("window_opened")
    assert (detail["endpoints"], detail["by"], detail["window"]) == (3, "admin", view.line.id)
    with pytest.raises(ConflictError, match="open already"):
        await windows.open_(ORDER, "admin")
    assert [line.id for line in await windows.list_(9)] == [view.line.id]


def replace_order(**changes):
    return changed(ORDER, **changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"reason": ""}, UsageError),
        ({"minutes": 4}, UsageError),
        ({"ranges": ()}, UsageError),
        ({"ranges": ("everywhere",)}, UsageError),
        ({"account": ""}, UsageError),
        ({"account": "CORP\\nobody"}, NotFoundError),
        ({"account": "", "ring": "empty"}, UsageError),
    ],
)
async def test_what_breaks_a_rule_is_not_opened(site, windows, fleet, changes, fault):
    with pytest.raises(fault):
        await windows.open_(replace_order(**changes), "admin")
    assert await windows.list_(9) == []
    assert site.live.current.window is None
    assert await site.events("window_opened") == []
    with pytest.raises(NotFoundError):
        await windows.show("")


async def test_who_asks_is_reached_once_and_told(site, windows, fleet):
    assert not await ask(site, fleet["lab-1"])  # nothing is open
    await windows.open_(ORDER, "admin")
    assert await ask(site, fleet["lab-1"])
    assert not await ask(site, fleet["lab-1"])
    late, stranger = await enrol(site, "late"), await enrol(site, "stranger")
    async with site.database.write() as conn:
        await endpoints.set_access(conn, stranger, Mode.OAUTH, "", 0)
    assert await ask(site, late)
    assert not await ask(site, stranger)
    assert not await ask(site, "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4")
    counts = (await windows.show("")).line.counts
    assert (counts.reached, counts.unreached) == (2, 2)
    assert len(await site.events("window_reached")) == 2
    site.clock.now += 3600
    assert not await ask(site, fleet["lab-2"])


async def test_the_gate_of_the_check_in_process(site, windows, fleet):
    gate, now = WindowGate(site.live, site.database), int(site.clock())
    there = "192.0.2.7"
    assert await gate.covering(fleet["lab-1"], there, now) is None
    view = await windows.open_(ORDER, "admin")
    outside = await enrol(site, "outside")
    async with site.database.write() as conn:
        await endpoints.set_access(conn, outside, Mode.OAUTH, "", 0)
    late = await enrol(site, "late")
    unknown = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"
    for who, address, covered in (
        (fleet["lab-1"], there, True),
        (fleet["lab-1"], "198.51.100.7", False),
        (late, there, True),
        (outside, there, False),
        (unknown, there, False),
        ("nonsense", there, False),
        ("", there, True),
        ("", "198.51.100.7", False),
    ):
        assert await gate.covering(who, address, now) == (view.line.id if covered else None), who
    async with site.database.write() as conn:
        await endpoints.set_access(conn, fleet["lab-1"], Mode.OAUTH, "", 0)
    assert await gate.covering(fleet["lab-1"], there, now) == view.line.id
    async with site.database.write() as conn:
        await gate.reached(conn, view.line.id, fleet["lab-1"], now)
        await gate.reached(conn, view.line.id, outside, now)  # taken back by its receipt
        await gate.reached(conn, unknown, fleet["lab-2"], now)
        await gate.proven(conn, fleet["lab-1"], None, now)
    counts = (await windows.show("")).line.counts
    assert (counts.reached, counts.unreached, counts.applied) == (2, 2, 0)
    await comes_back(site, fleet["lab-3"], CommandState.PROVEN)
    async with site.database.write() as conn:
        (change,) = await commands.list_page(conn, fleet["lab-3"], limit=1)
        await gate.proven(conn, fleet["lab-3"], change, now)
    assert (await windows.show("")).line.counts.applied == 1
    stale = site.live.current
    await windows.close(WindowClose(despite_unproven=(await windows.show("")).line.counts.unproven), "admin")
    site.live.current = stale  # the check-in process did not read it again yet
    assert await gate.covering(fleet["lab-1"], there, now) is None


async def test_the_watch_sees_who_is_back_and_who_fell_back(site, windows, fleet):
    view = await windows.open_(ORDER, "admin")
    site.clock.now += 10
    await ask(site, fleet["lab-1"])
    await comes_back(site, fleet["lab-1"])
    await comes_back(site, fleet["lab-2"], CommandState.PROVEN)
    await comes_back(site, fleet["lab-3"], CommandState.REVERTED)
    await windows.tick()
    shown = await windows.show(view.line.id)
    assert (shown.line.counts.proven, shown.line.counts.applied, shown.line.counts.reached) == (1, 1, 1)
    assert [(member.name, member.state) for member in shown.missing] == [("lab-3", "reached"), ("lab-2", "applied")]
    assert await ask(site, fleet["lab-1"])  # it would not ask if what it took worked
    assert (await windows.show("")).line.counts.reached == 2


async def test_an_endpoint_that_works_again_without_a_change_is_proven(site, windows, fleet):
    await windows.open_(ORDER, "admin")
    site.clock.now += 10
    async with site.database.write() as conn:
        await conn.execute(update(presence).values(seen_at=int(site.clock()), credential_generation=1))
    await windows.tick()
    assert (await windows.show("")).line.counts.proven == 3


async def test_it_is_closed_when_all_are_back(site, windows, fleet):
    await windows.open_(ORDER, "admin")
    for endpoint_id in fleet.values():
        await comes_back(site, endpoint_id)
    view = await windows.close(WindowClose(), "admin")  # nobody had to wait for the watch
    assert (view.line.state, view.line.closed_by, view.missing) == ("closed", "admin", ())
    assert site.live.current.window is None
    assert windows.banner() == ""
    ((_, detail),) = await site.events("window_closed")
    assert (detail["proven"], detail["unproven"], detail["missing"]) == (3, 0, [])
    with pytest.raises(ConflictError, match="closed already"):
        await windows.close(WindowClose(), "admin")


async def test_people_are_told_once_that_the_deadline_is_near(site, windows, fleet):
    await windows.open_(ORDER, "admin")
    site.clock.now += 60 * ORDER.minutes - CLOSING - 1
    await windows.tick()
    assert await site.events("window_closing") == []
    site.clock.now += 1
    for _ in range(3):
        await windows.tick()
    ((_, detail),) = await site.events("window_closing")
    assert detail["unproven"] == 3


async def test_of_a_short_window_nobody_is_told_that(site, windows, fleet):
    await windows.open_(replace_order(minutes=CLOSING // 60), "admin")
    await windows.tick()
    assert await site.events("window_closing") == []


async def test_it_is_not_closed_over_the_missing_unless_they_are_given_up(site, windows, fleet):
    view = await windows.open_(ORDER, "admin")
    await comes_back(site, fleet["lab-1"])
    with pytest.raises(ConflictError, match="still missing: lab-2, lab-3") as told:
        await windows.close(WindowClose(view.line.id), "admin")
    assert "--despite-unproven 2" in told.value.repair
    for wrong in (WindowClose(waive=("lab-2",)), WindowClose(despite_unproven=3)):
        with pytest.raises(ConflictError):
            await windows.close(wrong, "admin")
    assert (await windows.show("")).line.state == "open"
    view = await windows.close(WindowClose(waive=("lab-2", fleet["lab-3"])), "admin")
    assert view.line.state == "closed"
    ((_, detail),) = await site.events("window_closed")
    assert sorted(detail["missing"]) == ["lab-2", "lab-3"]


async def test_the_number_typed_closes_it(site, windows, fleet):
    await windows.open_(ORDER, "admin")
    assert (await windows.close(WindowClose(despite_unproven=3), "admin")).line.state == "closed"


async def test_it_expires_whoever_is_missing_and_says_who(site, windows, fleet):
    await windows.open_(ORDER, "admin")
    await comes_back(site, fleet["lab-1"])
    site.clock.now += 3599
    await windows.tick()
    assert (await windows.show("")).line.state == "open"
    site.clock.now += 1
    for _ in range(2):
        await windows.tick()
    assert (await windows.show("")).line.state == "expired"
    assert site.live.current.window is None
    ((_, detail),) = await site.events("window_expired")
    assert (detail["proven"], sorted(detail["missing"])) == (1, ["lab-2", "lab-3"])
    await windows.open_(ORDER, "admin")  # and another one may be opened


async def test_the_watch_goes_on_after_a_failure(site):
    heard, twice = [], asyncio.Event()

    def clock():
        raise RuntimeError("no time")

    def failed(cause):
        heard.append(cause)
        if len(heard) == 2:
            twice.set()

    await site.add()
    await enrol(site, "lab-1")
    await RecoveryWindowService(site.live, site.database, site.clock).open_(ORDER, "admin")
    following = asyncio.create_task(RecoveryWindowService(site.live, site.database, clock).follow(failed))
    await asyncio.wait_for(twice.wait(), 30)
    following.cancel()
    assert {type(cause) for cause in heard} == {RuntimeError}


async def test_a_restored_server_is_told_with_every_answer(site, windows):
    async with site.database.write() as conn:
        await conn.execute(update(installation).values(restored_at=NOW))
    await site.live.refresh()
    assert "went back in time" in windows.banner()


@pytest.mark.parametrize("text", ["svc-see", "corp\\SVC-SEE", "svc-see@corp.example.com", KEY])
async def test_an_account_may_be_named_in_any_way(site, text):
    await site.add()
    async with site.database.read() as conn:
        assert await account_named(conn, text) == KEY


@pytest.mark.parametrize("window_id", ["nonsense", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"])
async def test_no_such_window(windows, window_id):
    with pytest.raises(NotFoundError):
        await windows.show(window_id)
