"""Recovery windows on both databases: one open at a time, a snapshot of endpoints, counts and names."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from tests.support.databases import NOW, endpoint_row, some_id

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.window import Window, WindowEvent, WindowState
from keyfast.core.window_endpoint import Counts, Sign, WindowEndpointEvent, WindowEndpointState
from keyfast.errors import ConflictError
from keyfast.store import accounts, commands, endpoints, installations, recoveries, windows
from keyfast.store.accounts import GenerationRow
from keyfast.store.commands import CommandRow
from keyfast.store.installations import InstallationRow
from keyfast.store.tables import command, presence

KEY = "CORP\\svc"
S, E = WindowEndpointState, WindowEndpointEvent


def window(**changes):
    described = {"opened_at": NOW, "opened_by": "admin", "deadline": NOW + 3600, "reason": "why", "ranges": ("any",)}
    return Window(**({"id": some_id()} | described | (changes or {"account": KEY})))


async def put(database, *names, state=EndpointState.ACTIVE, **changes):
    rows = [replace(endpoint_row(name=name), account_key=KEY, mode=Mode.WINDOWS, **changes) for name in names]
    async with database.write() as conn:
        for row in rows:
            await endpoints.insert(conn, row, state)
    return [row.id for row in rows]


async def alter(database, endpoint_id, **values):
    async with database.write() as conn:
        await conn.execute(presence.update().where(presence.c.endpoint_id == endpoint_id).values(values))


async def change(database, endpoint_id, state, updated_at, rotation_id=None):
    async with database.write() as conn:
        seq = await commands.next_seq(conn, endpoint_id)
        row = CommandRow(endpoint_id, seq, some_id(), "ChangeWebAccessServer", "", state, NOW, NOW, updated_at)
        await conn.execute(command.insert().values(msgspec.to_builtins(replace(row, rotation_id=rotation_id))))


async def opened(database, window):
    async with database.write() as conn:
        return await windows.open_(conn, window)


async def test_at_most_one_window_is_open(database):
    await put(database, "a")
    first, second = window(), window()
    assert await opened(database, first) == 1
    with pytest.raises(ConflictError, match=first.id):
        await opened(database, second)
    async with database.write() as conn:
        row = await windows.not_closed(conn)
        assert row == windows.WindowRow(first, WindowState.OPEN)
        assert await windows.open_now(conn, NOW) == first
        assert await windows.open_now(conn, first.deadline) is None
        assert await windows.end(conn, row, WindowEvent.EXPIRED, at=NOW + 9, by="")
        assert not await windows.end(conn, row, WindowEvent.CLOSED, at=NOW + 9, by="admin")
        assert await windows.not_closed(conn) is None
        assert await windows.get(conn, first.id) == windows.WindowRow(first, WindowState.EXPIRED, NOW + 9, "")
        assert await windows.get(conn, second.id) is None
    later = window(opened_at=NOW + 10, ring="", account=KEY)
    assert await opened(database, later) == 1
    async with database.read() as conn:
        assert [row.window.id for row in await windows.list_page(conn, limit=9)] == [later.id, first.id]
        assert len(await windows.list_page(conn, limit=1)) == 1


async def test_of_two_that_open_one_at_once_one_is_told(database):
    await put(database, "a")
    async with database.write() as conn:
        await installations.create(conn, InstallationRow("kf-1", "Example", NOW, "kek-1", 1))
    told = await asyncio.gather(*(opened(database, window()) for _ in range(4)), return_exceptions=True)
    assert sorted(map(str, map(type, told))) == sorted(map(str, [int, *[ConflictError] * 3]))


async def test_the_snapshot_holds_endpoints_that_check_in(database):
    of_account = await put(database, "a", "b")
    (elsewhere,) = await put(database, "c", ring="labs")
    (suspect,) = await put(database, "d", state=EndpointState.CLONE_SUSPECT)
    await put(database, "e", state=EndpointState.REVOKED)
    await put(database, "f", state=EndpointState.PENDING)

    async def taken(**who):
        made = window(**who)
        count = await opened(database, made)
        async with database.write() as conn:
            found = await windows.members(conn, made.id, [S.UNREACHED], limit=99)
            row = await windows.get(conn, made.id)
            assert row.window == made
            await windows.end(conn, row, WindowEvent.CLOSED, at=NOW, by="admin")
        assert count == len(found)
        return {member.endpoint_id for member in found}

    assert await taken(account=KEY) == {*of_account, elsewhere, suspect}
    assert await taken(ring="labs") == {elsewhere}
    assert await taken(endpoints=(of_account[0], some_id())) == {of_account[0]}
    assert await taken(ring="nowhere") == set()


async def test_endpoints_are_counted_and_named_by_state(database):
    made = window()
    a, b, c, d = sorted(await put(database, "a", "b", "c", "d"))
    await opened(database, made)
    async with database.write() as conn:
        assert await windows.tell(conn, made.id, [a, b], E.ASKED, at=NOW + 1) == 2
        assert await windows.tell(conn, made.id, [a, b], E.ASKED, at=NOW + 2) == 0
        assert await windows.tell(conn, made.id, [b, c], E.APPLIED, at=NOW + 3) == 2
        assert await windows.tell(conn, made.id, [c], E.PROVED, at=NOW + 4) == 1
        assert await windows.tell(conn, made.id, [c], E.APPLIED, at=NOW + 5) == 0  # proven it stays
        assert await windows.tell(conn, made.id, [some_id()], E.ASKED, at=NOW + 5) == 0
    async with database.read() as conn:
        assert await windows.counts(conn, made.id) == Counts(1, 1, 1, 1)
        found = await windows.members(conn, made.id, [S.UNREACHED, S.REACHED, S.APPLIED], limit=99)
        assert [(member.endpoint_id, member.state, member.since) for member in found] == [
            (d, S.UNREACHED, NOW),
            (a, S.REACHED, NOW + 1),
            (b, S.APPLIED, NOW + 3),
        ]
        assert len(await windows.members(conn, made.id, list(S), limit=2)) == 2
    async with database.write() as conn:
        assert await windows.tell(conn, made.id, [a, b, c, d], E.FELL_BACK, at=NOW + 6) == 3
        assert await windows.counts(conn, made.id) == Counts(reached=4)


async def test_one_that_was_not_known_may_join(database):
    made = window()
    await put(database, "a")
    await opened(database, made)
    (late,) = await put(database, "late")
    async with database.write() as conn:
        assert await windows.join(conn, made.id, late, at=NOW + 1)
        assert not await windows.join(conn, made.id, late, at=NOW + 2)
        assert await windows.counts(conn, made.id) == Counts(unreached=2)


async def test_what_is_on_record_since_the_opening(database):
    made = window()
    a, b, c, d = sorted(await put(database, "a", "b", "c", "d"))
    (oauth,) = await put(database, "o")
    await opened(database, made)
    async with database.write() as conn:
        row = GenerationRow(KEY, 2, GenerationState.PROVEN, "", 0, 0, 0, NOW, "admin", NOW)
        await accounts.add_generation(conn, row)
        await endpoints.set_access(conn, oauth, Mode.OAUTH, "", 0)
        await windows.tell(conn, made.id, [d], E.PROVED, at=NOW)
    await alter(database, a, seen_at=NOW + 5, credential_generation=2)
    await alter(database, b, seen_at=NOW - 5, credential_generation=1)
    await change(database, b, CommandState.VERIFIED, NOW - 1)  # before it was opened
    await change(database, c, CommandState.FAILED, NOW + 1)
    await change(database, c, CommandState.APPLIED, NOW + 7)
    await change(database, c, CommandState.SUPERSEDED, NOW + 8)
    async with database.read() as conn:
        found = await windows.signs(conn, made, after="", limit=99)
        assert {row.endpoint_id: (row.state, row.sign) for row in found} == {
            a: (S.UNREACHED, Sign(NOW + 5, sound=True)),
            b: (S.UNREACHED, Sign(NOW - 5, sound=False)),
            c: (S.UNREACHED, Sign(0, sound=False, change=CommandState.APPLIED, changed_at=NOW + 7)),
            oauth: (S.UNREACHED, Sign(0, sound=True)),
        }
        pages, after = [], ""
        while page := await windows.signs(conn, made, after=after, limit=3):
            pages += page
            after = page[-1].endpoint_id
        assert pages == found


async def test_who_is_missing_of_an_account_and_of_a_rotation(database):
    a, b, c = await put(database, "a", "b", "c")
    (gone,) = await put(database, "gone", state=EndpointState.REVOKED)
    for who, seen_at in ((a, NOW), (b, NOW - 5000), (gone, NOW - 5000)):
        await alter(database, who, seen_at=seen_at, next_due=seen_at + 900)
    rotation = some_id()
    await change(database, a, CommandState.APPLIED, NOW, rotation)
    await change(database, b, CommandState.VERIFIED, NOW, rotation)
    await change(database, c, CommandState.APPLIED, NOW, rotation)
    async with database.read() as conn:
        assert await recoveries.silent(conn, KEY, now=NOW, limit=9) == ["b"]
        assert await recoveries.unseen_since(conn, KEY, NOW - 1, limit=9) == (["b", "c"], 2)
        assert await recoveries.unseen_since(conn, KEY, NOW - 1, limit=1) == (["b"], 2)
        assert await recoveries.unseen_since(conn, "CORP\\none", NOW, limit=9) == ([], 0)
        assert await recoveries.not_seen_again(conn, rotation, limit=9) == (["a", "c"], 2)
        assert await recoveries.not_seen_again(conn, rotation, limit=1) == (["a"], 2)
    await alter(database, a, seen_at=NOW + 1)
    async with database.read() as conn:
        assert await recoveries.not_seen_again(conn, rotation, limit=9) == (["c"], 1)
