"""Recovery check-ins whose proof does not hold, and what is told of those that were refused."""

import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import NEW, kind, recovered, rotated

from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import RefusalClass
from keyfast.store import endpoints
from keyfast.trust.device import DeviceKey

C = RefusalClass


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


async def test_a_captured_request_is_not_taken_twice(enrolled):
    body = enrolled.recover_body()
    proof = enrolled.prove("/endpoint/v1/recover", body)
    again = {"proof": proof}
    recovered(await enrolled.post(enrolled.recoveries.recover, "/endpoint/v1/recover", body, **again))
    assert kind(await enrolled.post(enrolled.recoveries.recover, "/endpoint/v1/recover", body, **again)) is C.REPLAYED


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"nonce": ""}, C.USE_NONCE),
        ({"nonce": "A" * 34}, C.USE_NONCE),
        ({"proof": "a.b.c"}, C.UNAUTHENTICATED),
        ({"proven": b"x"}, C.UNAUTHENTICATED),
    ],
)
async def test_a_proof_that_does_not_hold(enrolled, part, expected):
    assert kind(await enrolled.recover(send=part)) is expected


async def test_a_nonce_is_good_for_minutes(enrolled):
    enrolled.site.clock.now += 301
    assert kind(await enrolled.recover()) is C.USE_NONCE


@pytest.mark.parametrize("send", [{}, {"proof": ""}])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"[" * 50_000, b"\xff", b'{"challenge":""}', b'{"challenge":"c","x":1}']
)
async def test_what_cannot_be_read(enrolled, send, body):
    assert kind(await enrolled.post(enrolled.recoveries.recover, "/endpoint/v1/recover", body, **send)) is C.MALFORMED


async def test_whoever_proves_nothing_does_not_choose_the_mode(enrolled):
    await rotated(enrolled)
    enrolled.windows.covered = {enrolled.id}
    told = recovered(await enrolled.recover(account="", credential_generation=0, profile_seq=0, send={"proof": ""}))
    change, account = enrolled.opened(told.change)
    assert (change.endpoint, account.password, account.generation) == (enrolled.id, NEW, 2)


# --- what an auditor sees


async def told_of(desk):
    await desk.tally.flush()
    return [
        (detail["class"], detail["way"], detail["named"]) for _, detail in await desk.site.events("recovery_refused")
    ]


async def test_a_refused_recovery_is_an_event_that_names_whom_it_was_about(enrolled):
    assert kind(await enrolled.recover(send={"proof": ""})) is C.UNAUTHENTICATED
    assert kind(await enrolled.recover(send={"key": DeviceKey.generate()})) is C.UNKNOWN_DEVICE
    assert kind(await enrolled.recover(send={"proof": "a.b.c"})) is C.UNAUTHENTICATED
    async with enrolled.site.database.write() as conn:
        await endpoints.set_state(conn, enrolled.id, EndpointState.ACTIVE, EndpointState.REVOKED)
    assert kind(await enrolled.recover(endpoint="")) is C.REVOKED
    assert await told_of(enrolled) == [
        ("unauthenticated", "anonymous", enrolled.id),
        ("unknown_device", "stranger", enrolled.id),
        ("unauthenticated", "", enrolled.id),
        ("revoked", "current", enrolled.id),
    ]


async def test_what_everybody_meets_is_no_event(enrolled):
    assert kind(await enrolled.recover(send={"nonce": ""})) is C.USE_NONCE
    assert recovered(await enrolled.recover())
    assert await told_of(enrolled) == []
