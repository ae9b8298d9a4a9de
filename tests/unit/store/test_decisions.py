"""An administrator's decisions about endpoints, on both databases."""

import pytest
from tests.support.databases import NOW, endpoint_row, some_id

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.errors import NotFoundError, TransitionError
from keyfast.services.report import ReportService
from keyfast.store import changes, commands, endpoints, events
from keyfast.store.commands import CommandRow


@pytest.fixture
async def own(database):
    row = endpoint_row(name="laptop")
    async with database.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
    return row.id


async def test_no_rotation_waits_for_whoever_is_revoked(database, own):
    async with database.write() as conn:
        for seq, rotation in enumerate((some_id(), None), 1):
            queued = CommandState.QUEUED
            await changes.add(conn, CommandRow(own, seq, some_id(), "any", "", queued, NOW, NOW + 9, NOW, "", rotation))
        await commands.recount(conn, own)
    reports = ReportService(database, lambda: NOW)
    assert await reports.change(own, EndpointEvent.REVOKED, "eve") is EndpointState.REVOKED
    async with database.read() as conn:
        rows = await commands.list_page(conn, own, limit=9)
        record = await endpoints.get(conn, own)
        (told,) = await events.list_page(conn, endpoint_id=own, before=None, limit=9)
    assert [(row.state, row.detail) for row in reversed(rows)] == [
        (CommandState.WAIVED, "the endpoint was revoked by eve"),
        (CommandState.QUEUED, ""),
    ]
    assert record.presence.commands == 1
    assert (told.kind, told.detail) == ("endpoint_revoked", {"by": "eve"})


async def test_what_the_table_does_not_list_changes_nothing(database, own):
    reports = ReportService(database, lambda: NOW)
    with pytest.raises(TransitionError):
        await reports.change(own, EndpointEvent.APPROVED, "eve")
    with pytest.raises(NotFoundError):
        await reports.change(some_id(), EndpointEvent.REVOKED, "eve")
    async with database.read() as conn:
        assert await events.list_page(conn, endpoint_id=own, before=None, limit=9) == []
