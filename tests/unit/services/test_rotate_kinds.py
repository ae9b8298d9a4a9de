"""Each kind of rotation but that of a password: what it signs, opens, gives and takes away."""

import pytest
from tests.support.rotation_site import A, acts, rotating, started

from keyfast.core.access import Access
from keyfast.core.mode import Mode
from keyfast.core.rotation_state import RotationEvent as E
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError
from keyfast.services.rotation_access import RotationTargets
from keyfast.store import endpoints, profiles, rotation_counts
from keyfast.trust.roles import PROFILE_TYP, KeyStatus, Role
from keyfast.wire.messages import AccessProfile
from keyfast.wire.rotation import RotationOrder


@pytest.fixture
async def world(site):
    return await rotating(site)


async def test_a_move_to_oauth_signs_a_profile_and_refuses_the_account(world, site):
    rotation_id = await started(world, "oauth")
    found = await world.until(rotation_id, "canary")
    assert acts(found)[:3] == ["open_mode", "sign_profile", "plan_targets"]
    async with site.database.read() as conn:
        before = await profiles.in_force(conn)
    await world.until(rotation_id, "draining")
    await world.tick(2)
    async with site.database.read() as conn:
        after = await profiles.in_force(conn)
        target = await rotation_counts.target_of(conn, world.ids[0])
    assert after[Mode.OAUTH].seq > max(before[Mode.OAUTH].seq, before[Mode.WINDOWS].seq)
    assert (target.mode, target.account_key) == ("oauth", "")
    await world.service.act(rotation_id, E.ROLLED_BACK, "admin")
    await world.until(rotation_id, "abandoned")
    async with site.database.read() as conn:
        back = await profiles.in_force(conn)
    assert back[Mode.OAUTH].seq == before[Mode.OAUTH].seq
    assert back[Mode.WINDOWS].seq > after[Mode.OAUTH].seq
    signed = site.live.current.keyset.verify(back[Mode.WINDOWS].statement, PROFILE_TYP, AccessProfile)
    assert (signed.mode, signed.seq) == ("windows", back[Mode.WINDOWS].seq)


async def test_a_new_address_is_in_force_once_everyone_moved_and_the_old_one_after_a_roll_back(world, site):
    rotation_id = await started(world, "address", mode="windows", urls=("https://new.example/",))
    await world.until(rotation_id, "canary")

    async def urls():
        async with site.database.read() as conn:
            row = (await profiles.in_force(conn))[Mode.WINDOWS]
        return site.live.current.keyset.verify(row.statement, PROFILE_TYP, AccessProfile).urls

    assert await urls() == site.settings.urls
    await world.until(rotation_id, "draining")
    await world.tick()
    assert await urls() == ("https://new.example",)
    await world.service.act(rotation_id, E.ROLLED_BACK, "admin")
    await world.until(rotation_id, "abandoned")
    assert await urls() == site.settings.urls


async def test_a_new_address_leaves_everybody_the_own_account(world, site):
    rotation_id = await started(world, "address", mode="windows", urls=("https://new.example",))
    await world.until(rotation_id, "draining")
    await site.live.refresh()

    async def target():
        async with site.database.read() as conn:
            record = await endpoints.get(conn, world.ids[0])
            return await RotationTargets(site.live).target(conn, record.endpoint)

    forward = await target()
    assert forward == Access(Mode.WINDOWS, forward.profile_seq, A, 1, rotation_id)
    await world.service.act(rotation_id, E.ROLLED_BACK, "admin")
    await world.tick(3)
    back = await target()
    assert (back.account, back.generation, back.profile_seq > forward.profile_seq) == (A, 1, True)


async def test_the_token_key_is_published_before_it_is_used_and_rotated_once(world, site):
    before = {key.kid: key.status for key in site.live.current.keyset.keys if key.role is Role.TOKEN}
    upcoming = next(kid for kid, status in before.items() if status is KeyStatus.NEXT)
    rotation_id = await started(world, "token_key", source="")
    await world.until(rotation_id, "draining")
    await site.live.refresh()
    after = {key.kid: key.status for key in site.live.current.keyset.keys if key.role is Role.TOKEN}
    assert after[upcoming] is KeyStatus.CURRENT
    await world.tick(seconds=60)
    assert (await world.service.act(rotation_id, E.FINISHED, "admin")).state == "done"


async def test_a_recovery_releases_everybody_at_once(world, site):
    site.directory.set_password("svc-a", "Changed-1")
    await world.accounts.add("svc-a", Secret(b"Changed-1"), (), "admin")
    rotation_id = await started(world, "recovery")
    found = await world.until(rotation_id, "emergency")
    await world.tick()
    assert {row.state for row in await world.commands()} == {"queued"}
    async with site.database.read() as conn:
        target = await rotation_counts.target_of(conn, world.ids[0])
    assert (target.account_key, target.generation) == (A, 2)
    with pytest.raises(ConflictError, match="does not work any more"):
        await world.service.act(rotation_id, E.ROLLED_BACK, "admin")
    assert found.targets == 10
    await world.until(rotation_id, "draining")
    await world.tick(seconds=60)
    assert (await world.service.act(rotation_id, E.FINISHED, "admin")).state == "done"


async def test_a_recovery_may_lead_to_oauth(world):
    found = await world.service.preview(RotationOrder("recovery", source=A, mode="oauth"))
    assert (found.mode, found.target, found.targets) == ("oauth", "", 10)
