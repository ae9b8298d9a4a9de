"""Recovery check-ins of endpoints that never enrolled: they wait for a person, and are given nothing before."""

import msgspec
import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import KEY, PASSWORD, answered, kind, recovered
from tests.support.fake_windows import basic

from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import RefusalClass
from keyfast.core.secret import Secret
from keyfast.store import endpoints
from keyfast.trust.device import DeviceKey
from keyfast.trust.prior_password import prior_mac
from keyfast.trust.roles import RECEIPT_TYP
from keyfast.wire.changes import PriorPassword
from keyfast.wire.messages import Join, Receipt

C = RefusalClass


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


def joins(desk, **changes):
    join = Join(desk.bundled.statement, desk.seal.public_jwk())
    return {"endpoint": "", "hostname": "lab-9", "join": join} | changes


def prior(desk, password=PASSWORD, nonce="", **changes):
    live = desk.site.live.current
    proven = {"nonce": nonce or desk.nonce, "device": desk.key.thumbprint, "seal": desk.seal.thumbprint}
    mac = prior_mac(Secret(password.encode()), live.installation.id, **proven, account=KEY, generation=1)
    return msgspec.structs.replace(PriorPassword(KEY, 1, mac), **changes)


PRIORS = {
    "none": (lambda d: None, False),
    "right": (prior, True),
    "another password": (lambda d: prior(d, "Guess"), False),
    "another nonce": (lambda d: prior(d, nonce="x"), False),
    "another account": (lambda d: prior(d, account="CORP\\gone"), False),
    "another generation": (lambda d: prior(d, generation=2), False),
}


@pytest.mark.parametrize("name", PRIORS)
async def test_who_never_enrolled_waits_and_is_given_nothing(desk, name):
    make, proven = PRIORS[name]
    desk.bundled = await desk.bundle()
    desk.site.directory.tried.clear()
    told = recovered(await desk.recover(**joins(desk, prior=make(desk))))
    assert (told.state, told.change, told.receipt) == ("pending", "", "")
    ((_, detail),) = await desk.site.events("endpoint_pending")
    assert (detail["name"], detail["prior_password"]) == ("lab-9", proven)
    assert kind(await desk.recover(**joins(desk))) is C.PENDING
    assert desk.site.directory.tried == []


async def test_who_waited_is_given_its_access_once_it_is_approved(desk):
    desk.bundled = await desk.bundle()
    recovered(await desk.recover(**joins(desk)))
    async with desk.site.database.write() as conn:
        record = await endpoints.by_thumbprint(conn, desk.key.thumbprint)
        desk.id = record.endpoint.id
        await endpoints.set_state(conn, desk.id, EndpointState.PENDING, EndpointState.REGISTERED)
    told = recovered(await desk.recover(credential_generation=0))
    assert desk.opened(told.change)[1].password == PASSWORD
    assert told.state == "active"
    assert desk.site.live.current.keyset.verify(told.receipt, RECEIPT_TYP, Receipt).endpoint == desk.id
    assert len(await desk.site.events("endpoint_enrolled")) == 1


async def test_who_waited_gets_in_by_its_package_once_that_is_taken(desk):
    """The first contact failed, so it asked for recovery, and waits for a person; nobody has to come for that."""
    desk.bundled = await desk.bundle()
    recovered(await desk.recover(**joins(desk)))
    assert kind(await desk.join(desk.bundled, authorization=basic(KEY, "Guess"))) is C.ACCOUNT_REFUSED
    assert kind(await desk.recover(**joins(desk))) is C.PENDING
    answered(await desk.join(desk.bundled))
    ((_, detail),) = await desk.site.events("endpoint_approved")
    assert detail == {"by": "package", "package": desk.bundled.package}
    assert len(await desk.site.events("endpoint_enrolled")) == 1


@pytest.mark.parametrize(("admission", "days"), [("auto", 3), ("approve", 0)])
async def test_who_waits_for_a_person_goes_on_waiting(desk, admission, days):
    """Because its package is void by now, or for the sake of that."""
    desk.bundled = await desk.bundle(admission=admission, days=1)
    recovered(await desk.recover(**joins(desk)))
    desk.site.clock.now += days * 86400
    desk.nonce = desk.fresh()
    assert kind(await desk.join(desk.bundled)) is C.PENDING
    assert await desk.site.events("endpoint_approved") == []


async def test_an_expired_package_will_do_and_a_revoked_one_will_not(desk):
    desk.bundled = await desk.bundle()
    desk.site.clock.now += 3650 * 86400
    assert recovered(await desk.recover(**joins(desk), send={"nonce": desk.fresh()})).state == "pending"
    desk.bundled = await desk.bundle()
    await desk.packages.revoke(desk.bundled.package, "admin")
    desk.key = DeviceKey.generate()
    assert kind(await desk.recover(**joins(desk))) is C.ENROLMENT_REVOKED


BAD_JOINS = {
    "no statement": (lambda d: {"join": Join("", d.seal.public_jwk())}, C.UNAUTHENTICATED),
    "no seal key": (lambda d: {"join": Join(d.bundled.statement, {})}, C.MALFORMED),
    "no name": (lambda d: {"hostname": ""}, C.MALFORMED),
}


@pytest.mark.parametrize("name", BAD_JOINS)
async def test_a_join_that_is_not_right_registers_nobody(desk, name):
    make, expected = BAD_JOINS[name]
    desk.bundled = await desk.bundle()
    assert kind(await desk.recover(**joins(desk, **make(desk)))) is expected
    assert await desk.site.events("endpoint_pending") == []
