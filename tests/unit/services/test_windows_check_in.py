"""Check-ins in Windows mode: the device proves first, and no password is asked for that is known to be stale."""

import uuid
from base64 import b64encode

import pytest
from tests.support.desk import KEY, PASSWORD, Desk, answered, kind
from tests.support.fake_windows import TICKET, basic

from keyfast.core.command import CommandState
from keyfast.core.directory import Logon
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.authenticate import SignedRequest
from keyfast.services.command import CommandService
from keyfast.services.windows_logon import Challenge, LoggedOn, offer_lines
from keyfast.store import accounts, packages, tables
from keyfast.trust.device import DeviceKey
from keyfast.wire.messages import CommandResult

C = RefusalClass


@pytest.fixture
async def joined(desk) -> Desk:
    reply = await desk.join(await desk.bundle())
    assert isinstance(reply.outcome, bytes), reply
    desk.site.directory.tried.clear()
    return desk


async def test_an_endpoint_joins_by_its_first_check_in(desk):
    bundle = await desk.bundle()
    assert bundle.account is not None
    told = answered(await desk.join(bundle))
    assert told.registered is not None
    assert told.registered.keyfast_state == "registered"
    assert told.profile_seq == desk.site.live.current.profile(Mode.WINDOWS).seq
    kinds = [found for found, _ in await desk.site.events("endpoint_registered", "endpoint_enrolled")]
    assert kinds == ["endpoint_registered", "endpoint_enrolled"]
    again = answered(await desk.join(bundle))  # the answer was lost
    assert again.registered is not None
    assert again.registered.client_id == told.registered.client_id
    assert answered(await desk.check_in()).registered is None


async def test_leg_zero_offers_everything_and_asks_nobody(joined):
    reply = await joined.check_in("")
    assert (kind(reply), reply.challenges) == (C.UNAUTHENTICATED, offer_lines(joined.doors.mechanisms))
    assert joined.site.directory.tried == []


async def test_a_ticket_is_answered_with_the_server_s_own_proof(joined):
    reply = await joined.check_in("Negotiate " + b64encode(TICKET).decode())
    assert answered(reply)
    assert reply.challenges[0].startswith("Negotiate ")


async def test_during_the_grace_kerberos_is_not_offered(joined):
    await joined.site.change()
    await joined.site.read()
    joined.site.directory.tried.clear()
    reply = await joined.check_in("")
    assert reply.challenges == ("NTLM", 'Basic realm="keyfast", charset="UTF-8"')
    assert answered(await joined.check_in())


@pytest.mark.parametrize("join", [False, True])
async def test_a_stale_generation_is_refused_before_any_password_is_tried(joined, join):
    bundle = await joined.bundle() if join else None
    await joined.site.change()
    await joined.site.read()
    joined.site.clock.now += 3600
    joined.site.directory.tried.clear()
    for authorization in ("", None):
        reply = await (joined.join(bundle, authorization) if bundle else joined.check_in(authorization))
        if kind(reply) is C.USE_NONCE:
            continue
        assert kind(reply) is C.ACCOUNT_REFUSED
        assert reply.outcome.retry_after == 900
    assert joined.site.directory.tried == []


async def test_a_generation_below_the_newest_that_is_not_on_record_is_refused(joined):
    joined.generation = 0
    assert kind(await joined.check_in("")) is C.ACCOUNT_REFUSED
    assert joined.site.directory.tried == []


async def test_a_generation_above_the_newest_on_record_may_be_tried(joined):
    """This server was restored from a backup: what it does not know is not stale."""
    joined.generation = 7
    assert (await joined.check_in("")).challenges == offer_lines(joined.doors.mechanisms)
    assert answered(await joined.check_in())


async def test_a_restored_password_lets_everybody_back_in(joined):
    await joined.site.change()
    await joined.site.read()
    await joined.site.change(PASSWORD, after=7200)
    await joined.site.read()
    assert (await joined.check_in("")).challenges == offer_lines(joined.doors.mechanisms)
    assert answered(await joined.check_in())


async def test_an_account_that_does_not_work_is_told_with_its_reason(joined):
    joined.site.directory.alter("svc-see", disabled=True)
    await joined.site.read()
    reply = await joined.check_in("")
    assert (kind(reply), reply.outcome.detail) == (C.ACCOUNT_REFUSED, "the account is disabled")


async def test_a_refused_password_keeps_the_others_from_trying_it_until_the_watch_has_looked(joined):
    joined.site.directory.alter("svc-see", lockout_threshold=5)
    await joined.site.read()
    await joined.site.change(after=400)  # the last answer is forgotten by then
    joined.site.directory.accounts["svc-see"].previous = b""
    joined.site.directory.tried.clear()
    assert kind(await joined.check_in()) is C.ACCOUNT_REFUSED
    for authorization in ("", None, basic(KEY, "Another-Wrong-1")):
        reply = await joined.check_in(authorization)
        assert (kind(reply), reply.outcome.retry_after) == (C.NOT_READY, 30)
    assert len(joined.site.directory.tried) == 1
    joined.site.clock.now += 2
    await joined.site.read()
    # It was changed, and the directory has refused it since: it is in no grace.
    for authorization in ("", None):
        assert kind(await joined.check_in(authorization)) is C.ACCOUNT_REFUSED
    assert [how for how, *_ in joined.site.directory.tried] == ["verify", "prove"], "the watch has tried it, too"


async def test_a_password_that_the_directory_refuses_in_its_grace_is_in_none(joined):
    """It was changed twice within the hour, and a directory remembers one password."""
    await joined.site.change()
    joined.site.directory.accounts["svc-see"].previous = b""
    await joined.site.read()
    joined.site.directory.tried.clear()
    assert kind(await joined.check_in()) is C.ACCOUNT_REFUSED
    assert len(joined.site.directory.tried) == 1
    joined.site.clock.now += 2
    await joined.site.read()
    for authorization in ("", None):
        assert kind(await joined.check_in(authorization)) is C.ACCOUNT_REFUSED
    assert len(joined.site.directory.tried) == 1
    # Set anew, it is another question.
    await joined.site.change(PASSWORD)
    await joined.site.read()
    assert answered(await joined.check_in())


@pytest.mark.parametrize(("ahead", "tries"), [(0, 1), (120, 2)])
async def test_a_domain_whose_clock_is_ahead_is_asked_once_more_and_not_again_and_again(joined, ahead, tries):
    """By its clock the password was set after it had refused the old one; what it says about the same stamp counts."""
    joined.site.directory.alter("svc-see", lockout_threshold=5)
    await joined.site.read()
    await joined.site.change(after=400)
    joined.site.directory.accounts["svc-see"].previous = b""
    joined.site.directory.alter("svc-see", password_set_at=int(joined.site.clock()) + ahead)
    joined.site.directory.tried.clear()
    for _ in range(4):
        assert kind(await joined.check_in()) is C.ACCOUNT_REFUSED
        joined.site.clock.now += 2
        await joined.site.read()
    assert [how for how, *_ in joined.site.directory.tried].count("verify") == tries


async def test_generations_that_nobody_knows_are_one(joined):
    """Whoever names another one with each try has the account read in between all the same, and fills no memory."""
    joined.site.directory.alter("svc-see", lockout_threshold=5)
    await joined.site.read()
    wrong = basic(KEY, "Wrong")
    assert kind(await joined.check_in(wrong, credential_generation=98)) is C.ACCOUNT_REFUSED
    assert kind(await joined.check_in(wrong, credential_generation=99)) is C.NOT_READY
    assert answered(await joined.check_in())


async def test_what_a_kdc_refused_keeps_the_others_from_trying_it_too(joined):
    """Nobody else tells the server; it has the account read at once, and no password was shown to it."""
    joined.site.directory.alter("svc-see", lockout_threshold=5)
    await joined.site.read()
    told = await joined.send(joined.body(), kdc_refused=True)
    assert kind(told) is C.ACCOUNT_REFUSED
    assert told.outcome.presented == "the account CORP\\svc-see by kerberos"
    for authorization in ("", basic(KEY, PASSWORD)):
        assert kind(await joined.check_in(authorization)) is C.NOT_READY
    assert joined.site.directory.tried == []
    assert joined.heard.refused == [(KEY, Mechanism.KERBEROS, Logon.WRONG_PASSWORD, "192.0.2.7")]
    joined.site.clock.now += 2
    await joined.site.read()
    assert answered(await joined.check_in())


async def test_a_kdc_knows_no_grace(joined):
    """It refuses a password of which the directory still takes the other mechanisms for an hour."""
    joined.site.directory.alter("svc-see", lockout_threshold=5)
    await joined.site.read()
    await joined.site.change()
    assert kind(await joined.send(joined.body(), kdc_refused=True)) is C.ACCOUNT_REFUSED
    joined.site.clock.now += 2
    await joined.site.read()
    assert (await joined.check_in("")).challenges == ("NTLM", 'Basic realm="keyfast", charset="UTF-8"')
    assert answered(await joined.check_in())


async def test_what_a_kdc_is_said_to_have_refused_is_heard_where_it_was_offered_only(joined):
    await joined.site.change()
    await joined.site.read()  # within the grace Kerberos is not offered
    reply = await joined.send(joined.body(), kdc_refused=True)
    assert (kind(reply), reply.challenges) == (C.UNAUTHENTICATED, ("NTLM", 'Basic realm="keyfast", charset="UTF-8"'))
    made_up = await joined.send(joined.body(credential_generation=99), kdc_refused=True)
    assert kind(made_up) is C.UNAUTHENTICATED
    stranger = await joined.send(joined.body(), kdc_refused=True, key=DeviceKey.generate())
    assert kind(stranger) is C.UNKNOWN_DEVICE
    assert joined.heard.refused == []


@pytest.mark.parametrize(("threshold", "passed"), [(0, 0), (5, 61)])
async def test_one_wrong_endpoint_does_not_keep_the_others_waiting_for_long(joined, threshold, passed):
    joined.site.directory.alter("svc-see", lockout_threshold=threshold)
    await joined.site.read()
    assert kind(await joined.check_in(basic(KEY, "Wrong"))) is C.ACCOUNT_REFUSED
    joined.site.clock.now += passed
    assert answered(await joined.check_in())


async def test_a_stranger_s_device_is_unknown_before_any_password_is_tried(joined):
    assert kind(await joined.send(joined.body(), basic(KEY, PASSWORD), key=DeviceKey.generate())) is C.UNKNOWN_DEVICE
    assert joined.site.directory.tried == []


async def test_an_account_of_somebody_else_lets_nobody_in(joined):
    joined.site.directory.set_password("alice", PASSWORD)
    assert kind(await joined.check_in(basic("CORP\\alice", PASSWORD))) is C.ACCOUNT_NOT_ALLOWED
    assert joined.site.directory.tried == []


async def test_another_body_than_the_one_proven_is_refused(joined):
    refused = await joined.send(joined.body(), basic(KEY, PASSWORD), proven=joined.body())
    assert kind(refused) is C.UNAUTHENTICATED
    assert joined.site.directory.tried == []


async def test_a_number_used_before_is_answered_with_a_grant(joined):
    joined.seq -= 1
    reply = await joined.check_in()
    assert (kind(reply), reply.outcome.extra) == (C.REPLAYED, {"expected_seq": 3})
    joined.seq = 2
    assert answered(await joined.check_in())


BAD_JOINS = [
    ({"join": {"statement": "no.j.ws"}}, C.UNAUTHENTICATED),
    ({"join": {"seal_jwk": {"kty": "EC"}}}, C.MALFORMED),
    ({"join": {"seal_jwk": {}}}, C.MALFORMED),
    ({"inventory": None}, C.MALFORMED),
]


@pytest.mark.parametrize(("changes", "expected"), BAD_JOINS)
async def test_a_join_that_is_not_right_registers_nobody(desk, changes, expected):
    assert kind(await desk.join(await desk.bundle(), **changes)) is expected
    assert await desk.site.events("endpoint_registered") == []


async def test_a_newer_package_is_who_the_endpoint_is_of_from_then_on(joined):
    site = joined.site
    older, newer = await joined.bundle(ring="older"), await joined.bundle(ring="newer")
    for bundle, counted in ((newer, [("newer", 1)]), (newer, [("newer", 1)]), (older, [("older", 1)])):
        answered(await joined.join(bundle))
        async with site.database.read() as conn:
            built = {row.package: row.endpoints for row in await accounts.built(conn, KEY)}
            rings = {row.id: row.ring for row in await packages.list_page(conn, after="", limit=10)}
        assert [(rings[package], count) for package, count in built.items() if count] == counted
    changed = await site.events("endpoint_package_changed")
    assert [detail["package"] for _, detail in changed] == [newer.package, older.package]


async def test_a_package_that_was_revoked_changes_nothing_for_an_enrolled_endpoint(joined):
    revoked = await joined.bundle()
    await joined.packages.revoke(revoked.package, "admin")
    answered(await joined.join(revoked))
    assert not await joined.site.events("endpoint_package_changed")


async def test_a_package_for_oauth_does_not_join_by_the_account(desk):
    assert kind(await desk.join(await desk.bundle(mode="oauth", account=""))) is C.MODE_CLOSED


async def test_an_endpoint_that_waits_for_approval_is_told_so(desk):
    bundle = await desk.bundle(admission="approve")
    assert kind(await desk.join(bundle)) is C.PENDING
    assert kind(await desk.join(bundle)) is C.PENDING
    assert len(await desk.site.events("endpoint_pending")) == 1


async def test_a_closed_mode_is_told_per_ring_before_any_password_is_tried(desk):
    bundle = await desk.bundle(ring="labs")
    assert answered(await desk.join(bundle))
    await desk.modes.open_(Mode.OAUTH, "labs", "admin")
    await desk.modes.close(Mode.WINDOWS, "labs", "admin", despite_endpoints=True)
    desk.site.directory.tried.clear()
    for reply in (await desk.check_in(), await desk.join(bundle)):
        assert kind(reply) is C.MODE_CLOSED
        assert reply.challenges == ()
    assert desk.site.directory.tried == []


async def test_an_account_off_the_record_lets_nobody_in(joined):
    async with joined.site.database.write() as conn:
        await accounts.remove(conn, KEY)
    await joined.site.live.refresh()
    assert kind(await joined.check_in("")) is C.UNAUTHENTICATED
    assert kind(await joined.check_in()) is C.ACCOUNT_NOT_ALLOWED
    assert joined.site.directory.tried == []


async def test_the_probe_needs_no_device(desk):
    def request(authorization):
        return SignedRequest("GET", "/endpoint/v1/probe", authorization, "", "192.0.2.7", 1)

    assert await desk.service.probe(request("")) == Challenge(offer_lines(desk.doors.mechanisms))
    assert isinstance(await desk.service.probe(request(basic(KEY, PASSWORD))), LoggedOn)
    await desk.modes.close(Mode.WINDOWS, "", "admin", despite_endpoints=True)
    told = await desk.service.probe(request(basic(KEY, PASSWORD)))
    assert isinstance(told, Refusal)
    assert told.kind is C.MODE_CLOSED
    assert desk.service.offers(told) == ()


# --- commands that nobody here sent


async def test_a_refused_command_that_is_not_the_endpoint_s_own_is_an_event(enrolled):
    result = CommandResult(str(uuid.uuid4()), "failed", "it is for another endpoint")
    answered(await enrolled.check_in(results=(result,)))
    await enrolled.tally.flush()
    ((_, detail),) = await enrolled.site.events("command_refused")
    assert detail == {"command": result.id, "reason": "it is for another endpoint", "count": 1}


@pytest.mark.parametrize(
    ("state", "told"), [(CommandState.OFFERED, 0), (CommandState.APPLIED, 1), (CommandState.VERIFIED, 1)]
)
async def test_of_its_own_commands_only_those_it_had_obeyed_are_told(enrolled, state, told):
    service = CommandService(enrolled.site.live, enrolled.site.database, enrolled.site.clock)
    row = await service.check_in_now(enrolled.id, 0, "admin")
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.command.update().values(state=state))
    answered(await enrolled.check_in(results=(CommandResult(row.id, "failed", "again"),)))
    await enrolled.tally.flush()
    assert len(await enrolled.site.events("command_refused")) == told


async def test_results_of_commands_that_went_well_are_no_event(enrolled):
    answered(await enrolled.check_in(results=(CommandResult(str(uuid.uuid4()), "applied"),)))
    await enrolled.tally.flush()
    assert await enrolled.site.events("command_refused") == []
