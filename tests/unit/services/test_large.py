"""What is large is not counted anew for everybody who looks; who decides counts."""

from dataclasses import replace

import pytest
from sqlalchemy import event, update
from tests.support.databases import NOW, endpoint_row, in_read

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.rotation_plan import Kind, Plan
from keyfast.core.rotation_state import Facts, Rotation, RotationState
from keyfast.core.secret import Secret
from keyfast.services import recovery_options, rotation_ledger, window_counts
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.services.rotate import RotationService
from keyfast.services.rotation_ledger import RotationLedger, changed_row
from keyfast.services.window_counts import KeptCounts
from keyfast.store import endpoints, rotation_targets, rotations, windows
from keyfast.store.rotation_targets import ZERO, Scope
from keyfast.store.rotations import RotationRow
from keyfast.store.tables import command, recovery_window_endpoint
from keyfast.wire.window import WindowClose, WindowOrder

RING = "lab"
ROTATION = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    for room in (rotation_ledger, recovery_options, window_counts):
        monkeypatch.setattr(room, "LARGE", 2)


@pytest.fixture
async def fleet(site):
    """Three endpoints of a ring; their ids."""
    rows = [replace(endpoint_row(name=f"lab-{number}"), ring=RING) for number in range(3)]
    async with site.database.write() as conn:
        for row in rows:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
    return [row.id for row in rows]


@pytest.fixture
def counted(monkeypatch):
    """How often windows were counted."""
    calls, count = [], windows.counts

    async def heard(conn, window_id):
        calls.append(window_id)
        return await count(conn, window_id)

    monkeypatch.setattr(windows, "counts", heard)
    return calls


async def test_a_large_window_is_counted_by_its_watch_and_not_by_who_looks(site, fleet, counted):
    service = RecoveryWindowService(site.live, site.database, site.clock, counts=KeptCounts(site.clock))
    window = (await service.open_(WindowOrder("why", 60, ("any",), ring=RING), "admin")).line
    assert window.counts.unreached == 3
    counted.clear()
    async with site.database.write() as conn:
        await conn.execute(update(recovery_window_endpoint).values(state="reached"))
    assert (await service.show(window.id)).line.counts.unreached == 3
    assert [line.counts.unreached for line in await service.list_(9)] == [3]
    assert counted == []
    site.clock.now += window_counts.AGAIN_SECONDS
    await service.tick()
    assert counted == [window.id]
    assert (await service.show(window.id)).line.counts.reached == 3
    site.clock.now += window_counts.KEPT_SECONDS
    assert (await service.show(window.id)).line.counts.reached == 3
    assert counted == [window.id] * 2


async def test_who_closes_a_window_goes_by_what_is_so_now(site, fleet, counted):
    service = RecoveryWindowService(site.live, site.database, site.clock)
    window = (await service.open_(WindowOrder("why", 60, ("any",), ring=RING), "admin")).line
    async with site.database.write() as conn:
        await conn.execute(update(recovery_window_endpoint).values(state="proven"))
    closed = await service.close(WindowClose(window.id), "admin")
    assert (closed.line.state, closed.line.counts.proven) == ("closed", 3)
    counted.clear()
    site.clock.now += 86_400
    assert (await service.show(window.id)).line.counts.proven == 3
    assert counted == []  # it has ended: nothing moves any more


async def test_a_small_window_is_counted_at_every_look(site, fleet, counted, monkeypatch):
    monkeypatch.setattr(window_counts, "LARGE", 3)
    service = RecoveryWindowService(site.live, site.database, site.clock)
    window = (await service.open_(WindowOrder("why", 60, ("any",), ring=RING), "admin")).line
    async with site.database.write() as conn:
        await conn.execute(update(recovery_window_endpoint).values(state="applied"))
    assert (await service.show(window.id)).line.counts.applied == 3


@pytest.fixture
async def rotation(site, fleet):
    """A rotation of the three, under way."""
    facts = Facts(targets=3, waves=1)
    found = Rotation(Plan(Kind.DEVICE_KEY, ring=RING), RotationState.ROLLING, NOW, wave=1, facts=facts)
    row = changed_row(RotationRow(ROTATION, "device_key", RING, found.state, NOW, "admin", NOW, {}), found, NOW)
    async with site.database.write() as conn:
        await rotations.create(conn, row)
        ids = {"before": 0, "cursor": ZERO, "wrapped": False, "limit": 9, "now": NOW}
        await rotation_targets.add_portion(conn, ROTATION, Scope(ring=RING), (3,), **ids)
    return row


async def test_a_large_rotation_is_shown_as_its_job_counted_it(site, rotation):
    ledger = RotationLedger(site.database, site.clock)
    service = RotationService(site.database, ledger, site.directory, site.clock, bytes)
    assert [wave.states for wave in (await service.show(ROTATION)).waves] == [{"planned": 3}]
    async with site.database.write() as conn:
        await conn.execute(update(command).values(state="verified"))
    shown = await service.show(ROTATION)
    assert (shown.verified, shown.missing) == (0, ())
    await ledger.advance(rotation)
    assert (await service.show(ROTATION)).verified == 3
    assert [(count.state, count.number) for count in (await service.progress(ROTATION, 9))[0]] == [
        (CommandState.VERIFIED, 3)
    ]


async def test_what_was_kept_of_a_rotation_is_too_old_after_a_while(site, rotation):
    ledger = RotationLedger(site.database, site.clock)
    assert (await ledger.told(rotation)).unmoved == 3
    async with site.database.write() as conn:
        await conn.execute(update(command).values(state="verified"))
    site.clock.now += rotation_ledger.KEPT_SECONDS - 1
    assert (await ledger.told(rotation)).unmoved == 3
    site.clock.now += 1
    assert (await ledger.told(rotation)).unmoved == 0
    assert (await ledger.evidence(rotation)).unmoved == 0


async def test_a_small_rotation_is_counted_at_every_look(site, rotation, monkeypatch):
    monkeypatch.setattr(rotation_ledger, "LARGE", 3)
    ledger = RotationLedger(site.database, site.clock)
    assert (await ledger.told(rotation)).unmoved == 3
    async with site.database.write() as conn:
        await conn.execute(update(command).values(state="verified"))
    assert (await ledger.told(rotation)).unmoved == 0


async def test_the_newest_acts_of_a_rotation_come_in_order(site, rotation):
    async with site.database.write() as conn:
        await rotations.journal(conn, ROTATION, [("release", {"n": number}) for number in range(5)], NOW)
    found = await in_read(site.database, rotations.newest_effects, ROTATION, limit=2)
    assert [act.number for act in found] == [4, 5]


async def test_who_was_not_seen_again_is_looked_up_now_and_then(site, rotation):
    options = RecoveryOptionsService(site.live, site.database, site.accounts, None, None, site.clock)
    async with site.database.write() as conn:
        await conn.execute(update(command).values(state="applied", updated_at=NOW))
    assert (await options._not_seen_again(ROTATION, 3)).number == 3
    async with site.database.write() as conn:
        await conn.execute(update(command).values(updated_at=-1))
    assert (await options._not_seen_again(ROTATION, 3)).number == 3
    assert (await options._not_seen_again(ROTATION, 2)).number == 0  # few are looked up each time
    site.clock.now += recovery_options.KEPT_SECONDS
    assert (await options._not_seen_again(ROTATION, 3)).names == ()


async def test_all_accounts_are_read_at_once(site):
    """However many there are, the database is asked as often as for one."""
    asked = []
    engine = site.database._reader.sync_engine

    def hear(conn, cursor, statement, parameters, context, many):
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    await site.add()
    for name in ("svc-b", "svc-c"):
        asked.clear()
        lines = await site.accounts.list_()
        few = len(asked)
        site.directory.set_password(name, "Third-Passw0rd-3")
        await site.accounts.add(name, Secret(b"Third-Passw0rd-3"), (), "admin")
        asked.clear()
        more = await site.accounts.list_()
        assert (len(more), len(asked)) == (len(lines) + 1, few)
        assert [line.account for line in more] == await site.accounts.names()
        for line in more:
            assert line.condition == (await site.accounts.show(line.account)).condition
    event.remove(engine, "before_cursor_execute", hear)
