"""Endpoints are found by the computer they are on, those too that enrolled before that was put on record."""

from dataclasses import replace

import pytest
from alembic import command
from sqlalchemy import insert, select
from tests.support.databases import KINDS, endpoint_row, new_database
from tests.support.postgres import shared_cluster

from keyfast.core.endpoint import EndpointState
from keyfast.store import endpoint_serials, endpoints
from keyfast.store import schema as room
from keyfast.store.database import Database
from keyfast.store.tables import endpoint, inventory
from keyfast.wire.messages import Encryption, Inventory, Protection, Volume, inventory_bytes

TOLD = {"serial": " ab 12 ", "smbios_uuid": "3D1219C7-c4c5-404a-aa1f-6d2a48adfda4", "machine_id": "m"}
ON = (Volume("a", Encryption.ENCRYPTED, Protection.ON, role="os"),)
OFF = (*ON, Volume("b", Encryption.UNENCRYPTED, Protection.OFF))
BOOT = (Volume("a", Encryption.UNENCRYPTED, Protection.OFF, role="boot"),)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_computer_is_found_by_either_name_however_it_is_spelt(kind, opened):
    row = replace(endpoint_row(), hardware=TOLD)
    async with opened.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
        await endpoints.insert(conn, replace(endpoint_row(), hardware={}), EndpointState.ACTIVE)
    async with opened.read() as conn:
        for text in ("AB12", "ab 12", TOLD["smbios_uuid"].lower()):
            assert await endpoint_serials.found(conn, text, limit=9) == [row.id]
        for text in ("", "AB1", "m"):
            assert await endpoint_serials.found(conn, text, limit=9) == []


@pytest.fixture
async def opened(kind, url):
    database = await Database.open(url)
    yield database
    await database.close()


@pytest.fixture
def url(kind, tmp_path):
    return new_database(kind, tmp_path)


@pytest.fixture
def old_url(kind, tmp_path):
    if kind == "postgres":
        return shared_cluster().create_database(migrated=False)
    (tmp_path / "old.db").touch(mode=0o600)
    return f"sqlite:///{tmp_path}/old.db"


@pytest.mark.parametrize("kind", KINDS)
async def test_those_on_record_before_are_found_too(kind, old_url):
    old = await Database.open(old_url)
    rows = [replace(endpoint_row(name=f"pc-{number}"), hardware=TOLD) for number in range(3)]
    blank = endpoint_row(name="blank")

    def migrate(conn, revision):
        config = room._alembic()
        config.attributes["connection"] = conn
        command.upgrade(config, revision)

    later = {"disks", "user_name", "user_key"}
    async with old.write() as conn:
        await conn.run_sync(migrate, "0008")
        for row in (*rows, blank):
            values = {column.name: getattr(row, column.name) for column in endpoint.columns if column.name not in later}
            await conn.execute(insert(endpoint).values(values | {"mode": "oauth"}))
        for row, volumes in zip(rows, (OFF, ON, BOOT), strict=True):
            told = Inventory("pc", "Test OS", volumes=volumes)
            document = {"digest": b"d", "document": inventory_bytes(told), "recorded_at": 1}
            await conn.execute(insert(inventory).values(endpoint_id=row.id, **document))
    async with old.write() as conn:
        await conn.run_sync(migrate, "head")
    async with old.read() as conn:
        assert set(await endpoint_serials.found(conn, "AB12", limit=9)) == {row.id for row in rows}
        disks = {row.id: row.disks for row in await conn.execute(select(endpoint.c.id, endpoint.c.disks))}
    assert [disks[row.id] for row in (*rows, blank)] == ["exposed", "protected", "unknown", "unknown"]
    await old.close()
