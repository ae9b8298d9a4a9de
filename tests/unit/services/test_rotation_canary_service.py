"""The first wave of a rotation holds every kind of endpoint there is."""

import msgspec
import pytest
from sqlalchemy import update
from tests.support.databases import KINDS, NOW, digest, new_database
from tests.support.device import INVENTORY
from tests.support.rotation_site import B, rotation_site

from keyfast.core.rotation_canary import LATELY
from keyfast.core.rotation_state import RotationEvent
from keyfast.core.secret import Secret
from keyfast.store import tables
from keyfast.wire.messages import inventory_bytes


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


async def a_fleet_of_thirty(site):
    """With an account that it uses, and another that it may move to."""
    world = rotation_site(site)
    for name in ("svc-a", "svc-b"):
        site.directory.set_password(name, f"First-{name}")
        await world.accounts.add(name, Secret(f"First-{name}".encode()), (), "admin")
    return world, await world.fleet(30)


async def test_every_operating_system_and_ring_goes_first(site):
    world, ids = await a_fleet_of_thirty(site)
    async with site.database.write() as conn:
        await conn.execute(update(tables.endpoint).where(tables.endpoint.c.id == ids[7]).values(ring="lab"))
        for endpoint_id, system in [*((one, "Windows") for one in ids[:20]), (ids[25], "macOS")]:
            document = inventory_bytes(msgspec.structs.replace(INVENTORY, os=system))
            row = {"endpoint_id": endpoint_id, "digest": digest(system), "document": document, "recorded_at": NOW}
            await conn.execute(tables.inventory.insert().values(row))
    rotation = await world.plan("account", target=B, canary_percent=20, canary_most=5)
    await world.service.act(rotation, RotationEvent.STARTED, "admin")
    await world.until(rotation, "canary")
    first = {row.endpoint_id for row in await world.commands() if row.wave == 1}
    assert len(first) == 5
    assert {ids[7], ids[25]} < first
    assert first & set(ids[:20])
    assert first & ({*ids[20:]} - {ids[25]}), "one of those of which nothing is known"
    rows = [row for row in await world.commands() if row.wave > 0]
    assert len(rows) == len({row.endpoint_id for row in rows}) == 30


async def test_whoever_was_heard_lately_goes_first(site):
    world, ids = await a_fleet_of_thirty(site)
    async with site.database.write() as conn:
        seen = tables.presence.c
        await conn.execute(update(tables.presence).values(seen_at=NOW - LATELY - 1))
        await conn.execute(update(tables.presence).where(seen.endpoint_id.in_(ids[3:5])).values(seen_at=NOW))
    rotation = await world.plan("account", target=B, canary_percent=10, canary_most=3)
    await world.service.act(rotation, RotationEvent.STARTED, "admin")
    await world.until(rotation, "canary")
    first = {row.endpoint_id for row in await world.commands() if row.wave == 1}
    assert len(first) == 3
    assert set(ids[3:5]) < first
