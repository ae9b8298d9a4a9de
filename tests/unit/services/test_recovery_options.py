"""A guided recovery: the article's story, each way out, and a crash at every step."""

from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import insert, update
from tests.support.databases import NOW, endpoint_row
from tests.support.fake_rotations import FakeRotations, PowerCutError

from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.store import endpoints, events
from keyfast.store.tables import credential_use, endpoint, presence
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder
from keyfast.wire.window import WindowClose, WindowOrder

KEY = "CORP\\svc-see"
OLD, NEW = "Old-Passw0rd", "New-Passw0rd"
NAMES = ("lab-1", "lab-2", "lab-3")
WINDOW = {"reason": "password changed", "ranges": ("any",)}


@pytest.fixture
def windows(site):
    return RecoveryWindowService(site.live, site.database, site.clock)


@pytest.fixture
def rotations(site):
    return FakeRotations(site.database, NOW + 20)


@pytest.fixture
def options(site, windows, rotations):
    return RecoveryOptionsService(site.live, site.database, site.accounts, windows, rotations, site.clock)


@pytest.fixture
def strict(site, windows, rotations):
    """Where device keys recover only while a window is open."""
    return RecoveryOptionsService(site.live, site.database, site.accounts, windows, rotations, site.clock, always=False)


@pytest.fixture
async def fleet(site):
    """Three endpoints of one account that check in; their ids by name."""
    await site.add()
    await site.package()
    ids = {}
    for name in NAMES:
        row = replace(endpoint_row(name=name), account_key=KEY, generation=1, mode=Mode.WINDOWS)
        async with site.database.write() as conn:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
        ids[name] = row.id
    await seen(site, credential_generation=1)
    return ids


@pytest.fixture
async def outage(site, fleet):
    """Somebody changed the password; everybody is silent."""
    await site.change()
    await site.read()
    site.clock.now += 2000
    detail = {"account": KEY, "mechanism": "ntlm", "reason": "wrong_password", "count": 5, "address": ""}
    async with site.database.write() as conn:
        await events.add(conn, at=NOW, kind="logon_refused", endpoint_id=None, detail=detail)
    return fleet


async def seen(site, *ids, **also):
    now = int(site.clock())
    which = presence.c.endpoint_id.in_(ids) if ids else presence.c.seen_at >= 0
    async with site.database.write() as conn:
        await conn.execute(update(presence).where(which).values(seen_at=now, next_due=now + 900, **also))


def order(way, **more):
    return RecoveryOrder(KEY, way, **more)


async def test_nothing_is_broken(options, fleet):
    (found,) = await options.situations()
    assert (found.endpoints, found.stranded, found.ways, found.since) == (3, 0, (), 0)
    status = await options.status()
    assert (status.stage, status.account) == ("idle", "")
    assert (await options.status("svc-see")).stage == "running"  # none was seen since it was proven, in the same second
    with pytest.raises(ConflictError, match="no endpoint is stranded"):
        await options.begin(order("device-key", password=NEW), "admin")
    with pytest.raises(NotFoundError):
        await options.status("nobody")
    with pytest.raises(ConflictError, match="no recovery is under way"):
        await options.resume()


async def test_it_says_what_broke_who_is_affected_and_what_can_be_done(options, outage):
    (found,) = await options.situations()
    assert (found.account, found.endpoints, found.stranded, found.proven) == (KEY, 3, 3, 0)
    assert found.silent == NAMES
    assert found.refusals == {"wrong_password": 5}
    assert NOW < found.since <= NOW + 10
    assert [(line.way, line.endpoints) for line in found.ways][:2] == [("device-key", 3), ("restore", 3)]
    status = await options.status()
    assert (status.account, status.stage, status.missing, status.missing_count) == (KEY, "waiting", NAMES, 3)


async def test_the_story_without_opening_anything(site, options, rotations, outage):
    status = await options.begin(order("device-key", password=NEW), "admin")
    assert (status.stage, status.to, status.missing_count, status.window) == ("running", KEY, 3, None)
    assert status.counts == {"queued": 3}
    with pytest.raises(ConflictError, match="still missing: lab-1, lab-2, lab-3"):
        await options.finish(RecoveryFinish(), "admin")
    site.clock.now += 100
    now = int(site.clock())
    await rotations.take(outage["lab-1"], at=now, again_at=now + 50)
    assert (await options.status()).missing == ("lab-2", "lab-3")
    for name in ("lab-2", "lab-3"):
        await rotations.take(outage[name], at=now)
    status = await options.status()
    assert (status.stage, status.missing, status.missing_count) == ("checking", ("lab-2", "lab-3"), 2)
    for name in ("lab-2", "lab-3"):
        await rotations.take(outage[name], at=now, again_at=now + 60)
    assert (await options.status()).stage == "done"
    ended = await options.finish(RecoveryFinish(), "admin")
    assert (ended.stage, rotations.finished) == ("done", [status.rotation])
    kinds = [kind for kind, _ in await site.events("recovery_begun", "recovery_finished", "window_opened")]
    assert kinds == ["recovery_begun", "recovery_finished"]


async def test_the_story_through_the_window(site, strict, windows, rotations, outage):
    (found,) = await strict.situations()
    assert [line.way for line in found.ways if line.available][:2] == ["restore", "window"]
    with pytest.raises(ConflictError, match="take window"):
        await strict.begin(order("device-key", password=NEW), "admin")
    with pytest.raises(UsageError, match="reason"):
        await strict.begin(order("window", password=NEW, ranges=("any",)), "admin")
    assert rotations.running is None
    status = await strict.begin(order("window", **WINDOW), "admin")  # the password is on record since
    assert status.window is not None
    assert status.window.counts.unreached == 3
    now = int(site.clock()) + 10
    for endpoint_id in outage.values():
        await rotations.take(endpoint_id, at=now, again_at=now + 5)
    assert (await strict.status()).stage == "done"
    await strict.finish(RecoveryFinish(), "admin")
    assert (await windows.show("")).line.state == "closed"
    assert (await windows.show("")).line.counts.proven == 3
    assert rotations.running is None


async def test_a_window_that_expired_is_opened_again(site, strict, windows, rotations, outage):
    await strict.begin(order("window", password=NEW, **WINDOW), "admin")
    first = await windows.show("")
    site.clock.now += 240 * 60
    await windows.tick()
    found = await strict.status()
    assert (found.stage, found.window, found.missing_count) == ("waiting", None, 3)
    assert "none is open: keyfast recover --way window" in found.sentence
    again = await strict.begin(order("window", **WINDOW), "admin")
    assert again.window is not None
    assert again.window.id != first.line.id
    assert again.stage == "running"
    assert again.rotation == rotations.running.rotation


@pytest.mark.parametrize("act", ["plan", "start", "finish"])
async def test_whoever_comes_next_goes_on_where_it_died(site, strict, windows, rotations, outage, act):
    rotations.cut = act
    begin = order("window", password=NEW, **WINDOW)
    for _ in range(2):
        try:
            await strict.begin(begin, "admin")
            break
        except PowerCutError:
            assert (await windows.show("")).line.state == "open"
            assert (await strict.status()).missing_count == 3
            if act == "start":
                assert "not all released yet" in (await strict.status()).sentence
                await strict.resume()
    assert rotations.running.started
    assert (await strict.resume()).counts == {"queued": 3}
    now = int(site.clock()) + 10
    for endpoint_id in outage.values():
        await rotations.take(endpoint_id, at=now, again_at=now + 5)
    if act == "finish":
        with pytest.raises(PowerCutError):
            await strict.finish(RecoveryFinish(), "admin")
    await strict.finish(RecoveryFinish(), "admin")
    assert (await windows.show("")).line.state == "closed"
    assert len(await site.events("window_opened")) == 1
    assert len(await site.events("account_added")) == (2 if act == "finish" else 3)


async def test_the_missing_are_given_up_by_name_or_number(strict, windows, rotations, outage):
    await strict.begin(order("window", password=NEW, **WINDOW), "admin")
    with pytest.raises(ConflictError, match="not 2"):
        await strict.finish(RecoveryFinish(despite_unproven=2), "admin")
    with pytest.raises(ConflictError, match="lab-3"):
        await strict.finish(RecoveryFinish(waive=NAMES[:2]), "admin")
    await strict.finish(RecoveryFinish(despite_unproven=3), "admin")
    assert rotations.running is None
    assert (await windows.show("")).line.state == "closed"


async def test_the_missing_are_given_up_by_name(strict, windows, outage):
    await strict.begin(order("window", password=NEW, **WINDOW), "admin")
    await strict.finish(RecoveryFinish(waive=NAMES), "admin")
    assert (await windows.show("")).line.counts.unreached == 3


async def test_restoring_the_old_password_brings_them_back_by_themselves(site, options, rotations, outage):
    status = await options.begin(order("restore"), "admin")
    assert (status.stage, status.rotation) == ("waiting", "")
    await site.change(OLD)
    status = await options.begin(order("restore"), "admin")
    assert (status.stage, status.missing_count) == ("running", 3)
    site.clock.now += 5
    await seen(site, outage["lab-1"], outage["lab-2"])
    assert (await options.status(KEY)).missing == ("lab-3",)
    await seen(site)
    assert (await options.status(KEY)).stage == "done"
    assert rotations.running is None
    assert (await options.finish(RecoveryFinish(KEY), "admin")).stage == "done"


async def test_one_that_was_seen_since_and_is_silent_again_is_missing(site, options, outage):
    await site.change(OLD)
    await site.read()
    site.clock.now += 5
    await seen(site)
    site.clock.now += 5000
    await seen(site, outage["lab-1"], outage["lab-2"])
    status = await options.status(KEY)
    assert (status.stage, status.missing) == ("running", ("lab-3",))


async def test_an_account_that_is_disabled_is_mended_first(site, options, fleet):
    site.directory.alter("svc-see", disabled=True)
    await site.read()
    (found,) = await options.situations()
    assert (found.condition, found.stranded, found.ways[0].way) == ("disabled", 3, "restore")
    with pytest.raises(ConflictError, match="no password"):
        await options.begin(order("device-key"), "admin")
    site.directory.alter("svc-see", disabled=False)
    assert (await options.begin(order("restore"), "admin")).stage in ("running", "done")


async def test_moving_to_another_account(site, options, rotations, outage):
    site.directory.set_password("svc-b", "Other-Passw0rd")
    with pytest.raises(UsageError, match="to which account"):
        await options.begin(order("account"), "admin")
    with pytest.raises(NotFoundError):
        await options.begin(order("account", to="svc-b"), "admin")
    with pytest.raises(ConflictError):
        await options.begin(order("account", to="svc-b", password="wrong"), "admin")
    assert rotations.running is None
    status = await options.begin(order("account", to="svc-b", password="Other-Passw0rd"), "admin")
    assert status.to == "CORP\\svc-b"
    (found,) = [found for found in await options.situations() if found.account == KEY]
    assert "CORP\\svc-b" in next(line.sentence for line in found.ways if line.way == "account")


async def test_an_account_on_record_is_tried_once_more(site, options, outage):
    site.directory.set_password("svc-b", "Other-Passw0rd")
    await site.accounts.add("svc-b", Secret(b"Other-Passw0rd"), (), "admin")
    assert (await options.begin(order("account", to="svc-b"), "admin")).to == "CORP\\svc-b"


async def test_moving_to_oauth(options, rotations, outage):
    assert (await options.begin(order("oauth"), "admin")).to == "oauth"
    with pytest.raises(NotFoundError):
        await options.begin(RecoveryOrder("CORP\\other", "oauth"), "admin")


async def test_a_package_is_built_once_the_password_is_on_record(options, rotations, outage):
    status = await options.begin(order("package", password=NEW), "admin")
    assert (status.stage, status.missing_count) == ("waiting", 3)
    assert rotations.running is None


async def test_what_does_not_authenticate_everywhere_is_not_sent(site, options, rotations, outage):
    with pytest.raises(ConflictError):
        await options.begin(order("device-key", password="wrong"), "admin")
    site.directory.servers.append("dc2")
    site.directory.down.add("dc2")
    with pytest.raises(ConflictError, match="every domain controller"):
        await options.begin(order("device-key", password=NEW), "admin")
    assert rotations.running is None
    await options.begin(order("device-key", password=NEW, despite=("unreadable",)), "admin")
    assert rotations.running is not None


async def test_one_recovery_at_a_time(site, options, outage):
    await options.begin(order("device-key", password=NEW), "admin")
    site.directory.set_password("svc-b", "Other-Passw0rd")
    await site.accounts.add("svc-b", Secret(b"Other-Passw0rd"), (), "admin")
    with pytest.raises(ConflictError, match="is under way"):
        await options.begin(RecoveryOrder("svc-b", "oauth"), "admin")


async def test_another_window_is_not_taken_for_this_one(site, strict, windows, outage):
    await windows.open_(WindowOrder("other", 60, ("any",), endpoints=(outage["lab-1"],)), "admin")
    with pytest.raises(ConflictError, match="open already"):
        await strict.begin(order("window", password=NEW, **WINDOW), "admin")
    await windows.close(WindowClose(despite_unproven=1), "admin")
    assert (await strict.begin(order("window", **WINDOW), "admin")).window is not None


async def test_one_without_targets_is_not_taken_for_done(site, options, rotations, outage):
    async with site.database.write() as conn:
        await conn.execute(update(endpoint).values(account_key="CORP\\elsewhere"))
    status = await options.begin(order("device-key", password=NEW), "admin")
    assert (status.stage, status.missing_count, status.counts) == ("running", 0, {})
    assert "--despite-unproven 0" in status.sentence
    assert (await options.finish(RecoveryFinish(despite_unproven=0), "admin")).stage == "done"


async def test_a_password_that_was_changed_again_meanwhile_is_taken(site, options, rotations, outage):
    first = await options.begin(order("device-key", password=NEW), "admin")
    await site.change("Newest-Passw0rd")
    with pytest.raises(ConflictError):
        await options.begin(order("device-key", password="wrong"), "admin")
    again = await options.begin(order("device-key", password="Newest-Passw0rd"), "admin")
    assert again.rotation == first.rotation
    assert [(row.generation, row.state.value) for row in await site.generations()][-1] == (3, "proven")


async def test_no_such_way(options, outage):
    with pytest.raises(UsageError, match="no way 'prayer'"):
        await options.begin(order("prayer"), "admin")


async def test_a_server_without_rotations_says_so(site, windows, outage):
    bare = RecoveryOptionsService(site.live, site.database, site.accounts, windows, None, site.clock)
    with pytest.raises(ConflictError, match="cannot send"):
        await bare.begin(order("device-key", password=NEW), "admin")


async def test_endpoints_that_came_by_a_command_are_counted(site, options, outage):
    async with site.database.write() as conn:
        await conn.execute(insert(credential_use).values(account_key=KEY, generation=2, endpoints=7))
        await conn.execute(insert(credential_use).values(account_key=KEY, generation=1, endpoints=-1))
    (found,) = await options.situations()
    assert found.endpoints == 9


async def test_several_broken_accounts_are_taken_one_after_the_other(site, options, outage):
    site.directory.set_password("svc-b", "Other-Passw0rd")
    await site.accounts.add("svc-b", Secret(b"Other-Passw0rd"), (), "admin")
    site.clock.now += 10
    site.directory.set_password("svc-b", "Yet-Another-1")
    await site.accounts.check("svc-b")
    async with site.database.write() as conn:
        await conn.execute(insert(credential_use).values(account_key="CORP\\svc-b", generation=1, endpoints=7))
    assert [found.account for found in await options.situations()] == ["CORP\\svc-b", KEY]
    status = await options.status()
    assert (status.account, status.stage) == ("", "waiting")
    assert "svc-b" in status.sentence


def test_passwords_are_not_shown():
    assert NEW not in repr(order("device-key", password=NEW))
    assert msgspec.json.decode(msgspec.json.encode(order("window", **WINDOW)), type=RecoveryOrder).ranges == ("any",)
