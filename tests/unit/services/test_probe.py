"""Probes: let in like a check-in, put on record before the answer, counted where the endpoint is now."""

import uuid

import msgspec
import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import KEY, PASSWORD, UNKNOWN, answered, kind, recovered
from tests.support.fake_windows import basic

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.core.secret import Secret
from keyfast.services.windows_logon import offer_lines
from keyfast.store import accounts, endpoints, packages, tables, uses
from keyfast.trust.device import DeviceKey
from keyfast.trust.roles import PROBE_TYP
from keyfast.wire.changes import ProbeAnswer, ProbeProof

NEW = "New-Passw0rd"
C = RefusalClass


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


async def offered(desk):
    """The password was changed, and the endpoint has been offered the new one."""
    await desk.site.change(NEW)
    await desk.site.record(NEW)
    change, _ = desk.opened(recovered(await desk.recover()).change)
    desk.site.directory.tried.clear()
    return change


def proof_in(desk, reply):
    assert isinstance(reply.outcome, bytes), reply
    answer = msgspec.json.decode(reply.outcome, type=ProbeAnswer)
    assert answer.delegations == desk.site.live.current.keyset.delegations()
    return desk.site.live.current.keyset.verify(answer.statement, PROBE_TYP, ProbeProof)


async def built(desk):
    async with desk.site.database.read() as conn:
        return [(row.package[:4], row.generation, row.endpoints) for row in await accounts.built(conn, KEY)]


async def test_a_new_password_is_proven_by_logging_on_with_it(enrolled):
    change = await offered(enrolled)
    package = enrolled.bundled.package[:4]
    assert await built(enrolled) == [(package, 1, 1)]
    asked = await enrolled.probe(change.id, "", credential_generation=2)
    assert (kind(asked), asked.challenges) == (C.UNAUTHENTICATED, offer_lines(enrolled.doors.mechanisms))
    claims = proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    assert (claims.endpoint, claims.command, claims.challenge) == (enrolled.id, change.id, "p")
    assert claims.time == int(enrolled.site.clock())
    assert [row.state for row in await enrolled.rows()] == [CommandState.PROVEN]
    record = (await enrolled.record()).endpoint
    assert (record.mode, record.account_key, record.generation) == (Mode.WINDOWS, KEY, 2)
    assert await built(enrolled) == [(package, 1, 0), ("", 2, 1)]
    assert ("proven", enrolled.id) in enrolled.windows.told
    proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    assert await built(enrolled) == [(package, 1, 0), ("", 2, 1)]


async def test_numbers_of_the_account_count_who_came_by_a_command(enrolled):
    change = await offered(enrolled)
    proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    view = await enrolled.site.accounts.show(KEY)
    assert [(line.generation, line.endpoints) for line in view.generations] == [(1, 0), (2, 1)]
    assert [line.endpoints for line in await enrolled.site.accounts.list_()] == [1]
    with pytest.raises(Exception, match="1 endpoints use CORP"):
        await enrolled.site.accounts.remove("svc-see", "admin")


async def test_an_endpoint_that_went_back_is_put_on_record_by_its_check_in(enrolled):
    change = await offered(enrolled)
    proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    package = enrolled.bundled.package[:4]
    assert answered(await enrolled.check_in(account=KEY))  # with the former password, in its hour of grace
    assert (await enrolled.record()).endpoint.generation == 1
    assert await built(enrolled) == [(package, 1, 1)]
    enrolled.generation = 2
    assert answered(await enrolled.check_in(basic(KEY, NEW), account=KEY))
    assert (await enrolled.record()).endpoint.generation == 2
    assert await built(enrolled) == [(package, 1, 0), ("", 2, 1)]


async def test_a_newer_package_ends_what_a_command_brought(enrolled):
    change = await offered(enrolled)
    proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    enrolled.site.directory.accounts["svc-see"].previous = b""
    newer = await enrolled.bundle()
    enrolled.generation = 2
    assert answered(await enrolled.send(enrolled.body(join=enrolled.joining(newer)), basic(KEY, NEW)))
    assert sorted(count for *_, count in await built(enrolled)) == [0, 1]


async def test_the_account_that_logs_on_is_the_one_that_is_named(enrolled):
    enrolled.site.directory.set_password("svc-other", PASSWORD)
    await enrolled.site.accounts.add("svc-other", Secret(PASSWORD.encode()), (), "admin")
    await enrolled.site.live.refresh()
    for reply in (
        await enrolled.probe(authorization=basic("CORP\\svc-other", PASSWORD)),
        await enrolled.check_in(basic("CORP\\svc-other", PASSWORD), account=KEY),
    ):
        assert kind(reply) is C.ACCOUNT_NOT_ALLOWED
        assert (reply.outcome.presented, reply.outcome.expected) == (
            "the account CORP\\svc-other",
            f"the account {KEY}",
        )
    named = {"account": "CORP\\svc-other"}
    proof_in(enrolled, await enrolled.probe(authorization=basic("CORP\\svc-other", PASSWORD), **named))
    assert (await enrolled.record()).endpoint.account_key == "CORP\\svc-other"
    assert answered(await enrolled.check_in(basic("CORP\\svc-other", PASSWORD), **named))


async def test_a_stale_generation_is_not_tried(enrolled):
    await offered(enrolled)
    enrolled.site.clock.now += 7200
    reply = await enrolled.probe(authorization=basic(KEY, PASSWORD), send={"nonce": enrolled.fresh()})
    assert kind(reply) is C.ACCOUNT_REFUSED
    assert enrolled.site.directory.tried == []


async def test_a_probe_of_a_change_that_is_not_on_record_holds_too(enrolled):
    """The server was restored since it gave it out; that it lets the endpoint in is true all the same."""
    assert proof_in(enrolled, await enrolled.probe(UNKNOWN)).command == UNKNOWN


@pytest.mark.parametrize("state", [state for state in CommandState if state is not CommandState.OFFERED])
async def test_only_a_change_that_may_be_proven_is_marked(enrolled, state):
    change = await offered(enrolled)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.command.update().values(state=state.value))
    proof_in(enrolled, await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2))
    provable = {"planned", "received", "proven", "waived"}
    assert [row.state for row in await enrolled.rows()] == ["proven" if state.value in provable else state]


async def test_who_may_not_work_is_told_so_and_nothing_is_recorded(enrolled):
    change = await offered(enrolled)
    async with enrolled.site.database.write() as conn:
        await endpoints.set_state(conn, enrolled.id, EndpointState.ACTIVE, EndpointState.REVOKED)
    assert kind(await enrolled.probe(change.id, basic(KEY, NEW), credential_generation=2)) is C.REVOKED
    assert [row.state for row in await enrolled.rows()] == [CommandState.OFFERED]


async def test_a_stranger_s_key_and_a_superseded_one(enrolled):
    assert kind(await enrolled.probe(send={"key": DeviceKey.generate()})) is C.UNKNOWN_DEVICE
    assert enrolled.site.directory.tried == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 50_000, b"\xff", b'{"challenge":"","command":""}'])
async def test_what_cannot_be_read(enrolled, body):
    for authorization in ("", f"DPoP {await token(enrolled)}"):
        proof = {"access_token": authorization.removeprefix("DPoP ")} if authorization else {}
        reply = await enrolled.post(enrolled.probes.probe, "/endpoint/v1/probe", body, authorization, **proof)
        assert kind(reply) is C.MALFORMED


async def token(desk, issued_at=0):
    live, now = desk.site.live.current, int(desk.site.clock())
    return live.tokens.mint(
        endpoint_id=desk.id,
        thumbprint=desk.key.thumbprint,
        now=issued_at or now,
        lifetime=86400,
        token_id=uuid.uuid4().bytes[:8],
    )


async def by_token(desk, **changes):
    text = await token(desk, **changes)
    return await desk.probe(UNKNOWN, f"DPoP {text}", account="", send={"access_token": text})


async def test_a_move_to_oauth_is_proven_by_an_access_token(enrolled):
    proof_in(enrolled, await by_token(enrolled))
    record = (await enrolled.record()).endpoint
    assert (record.mode, record.account_key, record.generation) == (Mode.OAUTH, "", 0)
    async with enrolled.site.database.read() as conn:
        assert await packages.enrolled(conn, "windows", "") == 0
        assert await uses.by_command(conn, Mode.OAUTH) == 1
        assert await uses.by_command(conn, Mode.WINDOWS) == 0
    assert answered(await enrolled.check_in(account=KEY))  # went back
    assert (await enrolled.record()).endpoint.mode is Mode.WINDOWS
    async with enrolled.site.database.read() as conn:
        assert await packages.enrolled(conn, "windows", "") == 1
        assert await uses.by_command(conn, Mode.OAUTH) == 0


async def test_tokens_are_judged_as_in_a_check_in(enrolled):
    async with enrolled.site.database.write() as conn:
        await endpoints.revoke_tokens(conn, enrolled.id, int(enrolled.site.clock()) + 1)
    assert kind(await by_token(enrolled)) is C.TOKEN_EXPIRED
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.device_key.update().values(status="superseded"))
    assert kind(await by_token(enrolled)) is C.KEY_SUPERSEDED
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.device_key.delete())
    assert kind(await by_token(enrolled)) is C.UNKNOWN_DEVICE
    assert kind(await enrolled.probe(UNKNOWN, "DPoP nonsense")) is C.UNAUTHENTICATED


async def test_a_closed_mode_proves_nothing(enrolled):
    await enrolled.modes.open_(Mode.OAUTH, "", "admin")
    await enrolled.modes.close(Mode.WINDOWS, "", "admin", despite_endpoints=True)
    assert kind(await enrolled.probe()) is C.UNAUTHENTICATED
    await enrolled.modes.open_(Mode.WINDOWS, "", "admin")
    await enrolled.modes.close(Mode.OAUTH, "", "admin", despite_endpoints=True)
    assert kind(await by_token(enrolled)) is C.MODE_CLOSED
