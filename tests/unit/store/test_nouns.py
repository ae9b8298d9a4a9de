"""One contract for both databases: what is written is what is read."""

from dataclasses import replace

import pytest
from tests.support.databases import NOW, endpoint_row, some_id

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.package_life import PackageState
from keyfast.core.search import Search
from keyfast.errors import ConflictError, NotFoundError
from keyfast.store import commands, endpoints, events, installations, keys, packages, policies, profiles
from keyfast.store.commands import CommandRow
from keyfast.store.endpoints import PresenceRow
from keyfast.store.installations import InstallationRow
from keyfast.store.keys import SigningKeyRow
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.store.profiles import AccessProfileRow
from keyfast.wire.messages import Policy


async def _insert(database, *rows, state=EndpointState.ACTIVE):
    async with database.write() as conn:
        for row in rows:
            await endpoints.insert(conn, row, state)


async def test_an_installation_is_founded_once(database):
    row = InstallationRow("kf-1", "Example", NOW, "kek-1", 1)
    async with database.read() as conn:
        assert await installations.get(conn) is None
    async with database.write() as conn:
        await installations.create(conn, row)
        await installations.set_kek(conn, "kek-2")
    with pytest.raises(ConflictError):
        async with database.write() as conn:
            await installations.create(conn, replace(row, id="kf-2"))
    async with database.read() as conn:
        assert await installations.get(conn) == replace(row, kek_id="kek-2")


async def test_keys_are_replaced_by_kid_and_never_dropped(database):
    first = SigningKeyRow("a", "root", "current", {"kty": "EC", "x": "1"}, "sealed", None, "", NOW)
    second = SigningKeyRow("b", "token", "next", {"kty": "EC", "x": "2"}, "sealed", "mac", "jws", NOW + 1)
    async with database.write() as conn:
        await keys.save(conn, [first, second])
        await keys.save(conn, [replace(first, status="previous", private_sealed=None)])
        await keys.add_root_change(conn, "one")
        await keys.add_root_change(conn, "two")
    async with database.read() as conn:
        assert await keys.load(conn) == [replace(first, status="previous", private_sealed=None), second]
        assert await keys.root_changes(conn) == ["one", "two"]
    assert "sealed" not in repr(first).replace("private_sealed", "")


async def test_the_newest_policy_and_each_mode_s_newest_profile_are_in_force(database):
    async with database.read() as conn:
        assert await policies.newest(conn) is None
        assert await profiles.in_force(conn) == {}
    async with database.write() as conn:
        for version in (1, 3, 2):
            await policies.add(conn, Policy(version, 60 * version), created_at=NOW)
            await profiles.add(conn, AccessProfileRow(version, NOW, f"jws {version}"))
        await profiles.add(conn, windows := AccessProfileRow(4, NOW, "jws 4", Mode.WINDOWS))
    async with database.read() as conn:
        assert await policies.newest(conn) == Policy(3, 180)
        assert await profiles.in_force(conn) == {
            Mode.OAUTH: AccessProfileRow(3, NOW, "jws 3"),
            Mode.WINDOWS: windows,
        }


def _package(at):
    package = PackageRow(some_id(), at, "admin", "oauth", "ring", "auto", "f.tar.gz", "00", None)
    return package, EnrolmentTokenRow(f"jti {at}", package.id, at, at + 60, 2, 0, None)


async def test_an_enrolment_token_is_used_up_to_its_ceiling(database):
    package, token = _package(NOW)
    async with database.write() as conn:
        await packages.create(conn, package, token)
        assert [await packages.count_use(conn, token.jti, at=NOW) for _ in range(3)] == [True, True, False]
        assert not await packages.count_use(conn, "unknown", at=NOW)
        assert await packages.token(conn, token.jti) == replace(token, uses=2, used_at=NOW)
        assert await packages.token(conn, "unknown") is None


async def test_a_revoked_package_is_revoked_once_and_its_token_is_void(database):
    package, token = _package(NOW)
    async with database.write() as conn:
        await packages.create(conn, package, token)
        assert await packages.revoke(conn, package.id, at=NOW + 1)
        assert await packages.revoke(conn, package.id, at=NOW + 2)
        assert not await packages.revoke(conn, some_id(), at=NOW)
        assert not await packages.revoke(conn, "nonsense", at=NOW)
        assert not await packages.count_use(conn, token.jti, at=NOW)
        assert await packages.get(conn, package.id) == replace(package, revoked_at=NOW + 1, state=PackageState.REVOKED)
        assert (await packages.token(conn, token.jti)).revoked_at == NOW + 1


async def test_packages_are_paged_newest_first(database):
    rows = [_package(NOW + at // 2) for at in range(5)]
    async with database.write() as conn:
        for number, (package, token) in enumerate(rows):
            await packages.create(conn, package, replace(token, jti=str(number)))
    expected = sorted((package for package, _ in rows), key=lambda row: (row.created_at, row.id), reverse=True)
    async with database.read() as conn:
        first = await packages.list_page(conn, after="", limit=3)
        assert first + await packages.list_page(conn, after=first[-1].id, limit=3) == expected
        assert await packages.list_page(conn, after=some_id(), limit=3) == []


async def test_an_endpoint_is_found_by_id_and_by_key(database):
    row = endpoint_row(name="nul\0host")
    await _insert(database, row, state=EndpointState.PENDING)
    async with database.read() as conn:
        record = await endpoints.get(conn, row.id)
        assert record.endpoint == replace(row, name="nul\ufffdhost")
        assert record.presence == PresenceRow(EndpointState.PENDING)
        assert await endpoints.by_thumbprint(conn, row.thumbprint) == record
        assert await endpoints.by_thumbprint(conn, "unknown") is None
        assert await endpoints.get(conn, some_id()) is None
        assert await endpoints.get(conn, "nonsense") is None
        assert await endpoints.inventory(conn, row.id) is None
        assert await endpoints.fork(conn, row.id) is None


async def test_a_device_key_is_registered_once(database):
    row = endpoint_row()
    await _insert(database, row)
    with pytest.raises(ConflictError):
        await _insert(database, replace(row, id=some_id()))
    async with database.read() as conn:
        assert len(await endpoints.list_page(conn, limit=9)) == 1


async def test_endpoints_are_paged_in_order_of_name(database):
    names = ["b", "a", "b", "Ä", "c", "b", "B", "bb", "%"]
    rows = [endpoint_row(name=name) for name in names]
    await _insert(database, *rows)
    expected = [row.id for row in sorted(rows, key=lambda row: (row.name, row.id))]
    async with database.read() as conn:
        seen, after = [], ""
        while page := await endpoints.list_page(conn, after=after, limit=2):
            seen += [record.endpoint.id for record in page]
            after = seen[-1]
        assert seen == expected
        some = await endpoints.list_page(conn, limit=9, wanted=Search(name="b"))
        assert [record.endpoint.name for record in some] == ["b", "b", "b", "bb"]
        assert await endpoints.list_page(conn, after=some_id(), limit=9) == []


@pytest.mark.parametrize("state", [EndpointState.PENDING, EndpointState.ACTIVE, EndpointState.CLONE_SUSPECT])
async def test_endpoints_are_listed_by_state(database, state):
    waiting = [endpoint_row(name=name) for name in "db"]
    await _insert(database, *waiting, state=EndpointState.PENDING)
    await _insert(database, endpoint_row(name="a"), endpoint_row(name="c"))
    async with database.read() as conn:
        page = await endpoints.list_page(conn, limit=9, wanted=Search(state=state))
        names = {EndpointState.PENDING: ["b", "d"], EndpointState.ACTIVE: ["a", "c"]}.get(state, [])
        assert [record.endpoint.name for record in page] == names
        if page:
            rest = await endpoints.list_page(conn, limit=9, wanted=Search(state=state), after=page[0].endpoint.id)
            assert rest == page[1:]


async def test_a_state_with_many_endpoints_is_listed_by_name_too(database, monkeypatch):
    monkeypatch.setattr(endpoints, "FEW", 20)
    rows = [endpoint_row(name=f"{number:05}") for number in range(endpoints.FEW + 1)]
    await _insert(database, *rows, state=EndpointState.REVOKED)
    async with database.read() as conn:
        page = await endpoints.list_page(conn, limit=2, wanted=Search(state=EndpointState.REVOKED), after=rows[5].id)
        assert [record.endpoint.name for record in page] == ["00006", "00007"]


async def test_a_state_changes_only_from_the_one_expected(database):
    row = endpoint_row()
    await _insert(database, row, state=EndpointState.PENDING)
    async with database.write() as conn:
        change = (EndpointState.PENDING, EndpointState.REGISTERED)
        assert await endpoints.set_state(conn, row.id, *change)
        assert not await endpoints.set_state(conn, row.id, *change)
        assert (await endpoints.get(conn, row.id)).presence.state is EndpointState.REGISTERED


async def test_revoked_tokens_stay_revoked(database):
    row = endpoint_row()
    await _insert(database, row)
    async with database.write() as conn:
        await endpoints.revoke_tokens(conn, row.id, NOW)
        await endpoints.revoke_tokens(conn, row.id, NOW - 5)
        assert (await endpoints.get(conn, row.id)).presence.tokens_from == NOW


async def test_events_are_paged_newest_first(database):
    own = some_id()
    async with database.write() as conn:
        for at, endpoint_id in enumerate([own, None, own, some_id(), own]):
            await events.add(conn, at=at, kind="k", endpoint_id=endpoint_id, detail={"ü": at})
    async with database.read() as conn:
        every = await events.list_page(conn, endpoint_id=None, before=None, limit=9)
        assert [row.at for row in every] == [4, 3, 2, 1, 0]
        assert every[0].detail == {"ü": 4}
        assert every[3].endpoint_id is None
        page = await events.list_page(conn, endpoint_id=own, before=every[0].id, limit=9)
        assert [row.at for row in page] == [2, 0]
        assert await events.list_page(conn, endpoint_id="nonsense", before=None, limit=9) == []


async def _queue(database, endpoint_id, *, expires_at=NOW + 60, action="CheckInNow"):
    async with database.write() as conn:
        seq = await commands.next_seq(conn, endpoint_id)
        row = CommandRow(endpoint_id, seq, some_id(), action, f"jws {seq}", CommandState.QUEUED, NOW, expires_at, NOW)
        await commands.queue(conn, row)
    return row


async def _waiting(database, endpoint_id):
    async with database.read() as conn:
        return (await endpoints.get(conn, endpoint_id)).presence.commands


async def test_a_command_is_offered_until_the_endpoint_has_it(database):
    own = endpoint_row()
    await _insert(database, own)
    await _queue(database, own.id)
    for _ in range(2):  # the first answer may have been lost
        async with database.write() as conn:
            offered = await commands.offer(conn, own.id, now=NOW, limit=9)
        assert [(row.statement, row.seq) for row in offered] == [("jws 1", 1)]
    async with database.read() as conn:
        assert [row.state for row in await commands.list_page(conn, own.id, limit=9)] == [CommandState.OFFERED]
    assert await _waiting(database, own.id) == 1


async def test_a_newer_command_supersedes_an_older_one_of_its_kind(database):
    own = endpoint_row()
    await _insert(database, own)
    first, second = await _queue(database, own.id), await _queue(database, own.id)
    other = await _queue(database, own.id, action="CollectDiagnostics")
    assert (first.seq, second.seq, other.seq) == (1, 2, 3)
    async with database.write() as conn:
        offered = await commands.offer(conn, own.id, now=NOW, limit=9)
        assert [row.id for row in offered] == [second.id, other.id]
        newest = await commands.list_page(conn, own.id, limit=9)
    assert [row.state for row in newest] == [
        CommandState.OFFERED,
        CommandState.OFFERED,
        CommandState.SUPERSEDED,
    ]
    assert await _waiting(database, own.id) == 2


async def test_an_expired_command_is_not_offered(database):
    own = endpoint_row()
    await _insert(database, own)
    await _queue(database, own.id, expires_at=NOW)
    async with database.write() as conn:
        assert await commands.offer(conn, own.id, now=NOW, limit=9) == []
        assert [row.state for row in await commands.list_page(conn, own.id, limit=9)] == [CommandState.EXPIRED]
    assert await _waiting(database, own.id) == 0


async def test_a_command_needs_an_endpoint(database):
    with pytest.raises(NotFoundError):
        await _queue(database, some_id())
