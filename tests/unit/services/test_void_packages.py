"""A package that lets nobody join any more: the refusal says why, and an event names the package."""

import pytest
from tests.support.desk import KEY, kind

from keyfast.core.refusal import RefusalClass
from keyfast.store import packages

DAY = 86400
NEW = "New-Passw0rd"


async def told(desk, name):
    desk.site.clock.now += 61  # at most one a minute for the same thing
    await desk.tally.flush()
    return [detail for _, detail in await desk.site.events(name)]


async def void(desk, how, bundle):
    if how == "enrolment_expired":
        desk.site.clock.now += 2 * DAY
    else:
        async with desk.site.database.write() as conn:
            await packages.revoke(conn, bundle.package, at=int(desk.site.clock()))


@pytest.mark.parametrize("how", ["enrolment_expired", "enrolment_revoked"])
async def test_a_void_enrolment_token_is_refused_and_told_once_a_minute(desk, how):
    bundle = await desk.bundle(days=1)
    await void(desk, how, bundle)
    desk.nonce = desk.fresh()
    for _ in range(3):
        reply = await desk.join(bundle)
        assert kind(reply) is RefusalClass(how)
    (detail,) = await told(desk, "enrolment_refused")
    assert (detail["class"], detail["package"], detail["count"]) == (how, bundle.package, 3)
    assert detail["name"]


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_package_whose_account_has_changed_is_named_with_both_generations(desk, recorded):
    bundle = await desk.bundle()
    await desk.site.change()
    if recorded:
        await desk.site.record(NEW)
    await desk.site.read()
    desk.site.clock.now += 2 * 3600  # past the grace
    desk.nonce = desk.fresh()
    reply = await desk.join(bundle)
    assert kind(reply) is RefusalClass.ACCOUNT_REFUSED
    assert ("generation 1 of 2" in reply.outcome.detail) is recorded
    (detail,) = await told(desk, "enrolment_refused")
    assert (detail["package"], detail["reason"]) == (bundle.package, "account_changed")
    assert KEY in detail["why"]
    assert ("it brings generation 1 of 2" if recorded else "no newer one is on record") in detail["why"]


async def test_an_endpoint_that_works_is_no_word_about_its_package(desk):
    await desk.enrol()
    assert await told(desk, "enrolment_refused") == []
