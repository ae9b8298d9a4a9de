"""A server restored from a backup hears of it from its endpoints and moves ahead of all that they know."""

import asyncio

import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import KEY, answered, kind, recovered
from tests.support.fake_windows import basic

from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.errors import ConflictError
from keyfast.services.modes import ModeService
from keyfast.services.went_back import EndRecovery, Heard
from keyfast.store import profiles, tables
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust.roles import PROFILE_TYP, RECEIPT_TYP
from keyfast.wire.messages import AccessProfile, Receipt

NEW = "New-Passw0rd"


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


def state(desk):
    live = desk.site.live.current
    return live.installation.epoch, live.installation.restored_at > 0, live.highest_profile


def signed(desk, mode):
    live = desk.site.live.current
    return live.keyset.verify(live.profile(mode).statement, PROFILE_TYP, AccessProfile)


HEARD = [
    (Heard(1, 2), (1, False, 2)),
    (Heard(0, 0, KEY, 1), (1, False, 2)),
    (Heard(0, 0, "CORP\\gone", 9), (1, False, 2)),
    (Heard(2, 1), (3, True, 4)),
    (Heard(7, 1), (8, True, 4)),
    (Heard(1, 5), (2, True, 7)),
    (Heard(3, 9, KEY, 4), (4, True, 11)),
    (Heard(1, 2, KEY, 2), (2, True, 4)),
    (Heard(1002, 2), (1, False, 2)),
    (Heard(1, 1003), (1, False, 2)),
]


@pytest.mark.parametrize(("heard", "after"), HEARD)
async def test_only_what_is_above_the_record_tells_it(enrolled, heard, after):
    assert await enrolled.ahead.hear(enrolled.id, heard) is after[1]
    assert state(enrolled) == after
    told = await enrolled.site.events("server_went_back")
    assert len(told) == int(after[1])
    for mode in (Mode.OAUTH, Mode.WINDOWS):
        assert signed(enrolled, mode).epoch == after[0]
        if after[1]:
            assert signed(enrolled, mode).seq > heard.profile_seq


STRANGER = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("named", ["stranger", "itself"])
async def test_a_receipt_of_this_epoch_for_a_key_that_is_not_on_record_tells_it(enrolled, named):
    own = Heard(1, 2, receipt_epoch=1, receipt_key=enrolled.key.thumbprint)
    assert not await enrolled.ahead.hear(enrolled.id, own), "it is on record"
    enrolled.site.clock.now += 61
    who = STRANGER if named == "stranger" else enrolled.id
    assert await enrolled.ahead.hear(who, Heard(1, 2, receipt_epoch=1, receipt_key="of no key"))
    assert state(enrolled) == (2, True, 4)


async def test_who_comes_late_after_the_recovery_was_ended_does_not_begin_it_again(enrolled):
    assert await enrolled.ahead.hear(STRANGER, Heard(1, 2, receipt_epoch=1))
    enrolled.site.clock.now += 61
    assert not await enrolled.ahead.hear(STRANGER, Heard(2, 4, receipt_epoch=2)), "it is known already"
    await EndRecovery(enrolled.site.live, enrolled.site.database, enrolled.site.clock).end("admin")
    enrolled.site.clock.now += 61
    assert not await enrolled.ahead.hear(STRANGER, Heard(1, 2, receipt_epoch=1))
    assert state(enrolled) == (2, False, 4)


async def test_what_another_process_has_just_made_is_no_sign(enrolled):
    live = enrolled.site.live.current
    statement = live.profile(Mode.WINDOWS).statement
    async with enrolled.site.database.write() as conn:
        await profiles.add(conn, AccessProfileRow(3, 0, statement, Mode.WINDOWS))
    assert not await enrolled.ahead.hear(enrolled.id, Heard(1, 3))
    assert await enrolled.site.events("server_went_back") == []


async def test_it_is_told_once_and_only_an_operator_ends_it(enrolled):
    assert await enrolled.ahead.hear(enrolled.id, Heard(1, 2, KEY, 3))
    enrolled.site.clock.now += 61
    assert not await enrolled.ahead.hear(enrolled.id, Heard(2, 2, KEY, 3))
    ending = EndRecovery(enrolled.site.live, enrolled.site.database, enrolled.site.clock)
    await ending.end("admin")
    assert state(enrolled) == (2, False, 4)
    assert [detail["by"] for _, detail in await enrolled.site.events("server_recovery_ended")] == ["admin"]
    with pytest.raises(ConflictError):
        await ending.end("admin")


async def test_a_later_endpoint_with_a_newer_profile_is_gone_beyond_in_the_same_epoch(enrolled):
    assert await enrolled.ahead.hear(enrolled.id, Heard(3, 2))
    assert not await enrolled.ahead.hear(enrolled.id, Heard(3, 9))  # not twice within a minute
    enrolled.site.clock.now += 61
    assert await enrolled.ahead.hear(enrolled.id, Heard(3, 9))
    assert state(enrolled) == (4, True, 11)


async def test_endpoints_that_all_come_at_once_move_it_once(enrolled):
    await asyncio.gather(*(enrolled.ahead.hear(enrolled.id, Heard(2, 2)) for _ in range(5)))
    assert state(enrolled)[0] == 3


async def test_without_the_profile_key_the_epoch_still_rises(enrolled):
    async with enrolled.site.database.write() as conn:
        key = tables.signing_key
        await conn.execute(key.update().where(key.c.role == "profile").values(private_sealed=None))
    await enrolled.site.live.refresh()
    assert await enrolled.ahead.hear(enrolled.id, Heard(2, 2))
    assert state(enrolled)[:2] == (3, True)


async def test_a_check_in_that_knows_more_is_taken_and_everything_carries_the_new_epoch(enrolled):
    told = answered(await enrolled.check_in(epoch=4, profile_seq=6, account=KEY))
    assert (told.epoch, told.profile_seq) == (5, 8)
    assert enrolled.site.live.current.keyset.verify(told.profile, PROFILE_TYP, AccessProfile).epoch == 5
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    change, _ = enrolled.opened(recovered(await enrolled.recover(profile_seq=6)).change)
    assert change.epoch == 5


async def test_a_refused_check_in_tells_it_too(enrolled):
    reply = await enrolled.check_in(basic(KEY, "Wrong"), epoch=4, account=KEY)
    assert kind(reply) is RefusalClass.ACCOUNT_REFUSED
    assert state(enrolled)[0] == 5


async def test_a_recovery_tells_it_and_a_stranger_does_not(enrolled):
    recovered(await enrolled.recover(epoch=2))
    assert state(enrolled)[0] == 3
    await enrolled.recover(epoch=9, send={"proof": ""})
    assert state(enrolled)[0] == 3


async def test_a_change_made_under_the_former_epoch_is_made_anew(enrolled):
    await enrolled.site.change(NEW)
    await enrolled.site.record(NEW)
    first, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    second, _ = enrolled.opened(recovered(await enrolled.recover(epoch=4)).change)
    assert (first.epoch, second.epoch) == (1, 5)
    assert second.seq > first.seq


async def test_what_is_signed_later_carries_the_new_epoch(enrolled):
    await enrolled.ahead.hear(enrolled.id, Heard(4, 0))
    modes = ModeService(enrolled.site.live, enrolled.site.database, (), lambda: "", enrolled.site.clock)
    await modes.follow_settings()
    assert (signed(enrolled, Mode.WINDOWS).epoch, signed(enrolled, Mode.WINDOWS).seq) == (5, 5)
    told = answered(await enrolled.join(enrolled.bundled))
    receipt = enrolled.site.live.current.keyset.verify(told.registered.keyfast_receipt, RECEIPT_TYP, Receipt)
    assert receipt.epoch == 5


async def test_the_password_of_a_generation_above_the_record_lets_its_holder_in(enrolled):
    enrolled.generation = 4
    assert answered(await enrolled.check_in(account=KEY))
    assert state(enrolled)[:2] == (2, True)
    assert (await enrolled.record()).endpoint.generation == 4
