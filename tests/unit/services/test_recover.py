"""Recovery check-ins: who is given what, who is taken back, who waits, and who learns nothing at all."""

from dataclasses import replace

import msgspec
import pytest
from tests.support.databases import KINDS, new_database
from tests.support.desk import KEY, NEW, PASSWORD, answered, kind, recovered, rotated

from keyfast.core.access import Access
from keyfast.core.endpoint import EndpointState
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.services.receipts import receipt_of
from keyfast.store import accounts, endpoints, packages, tables
from keyfast.trust.device import DeviceKey
from keyfast.trust.keyset import Keyset
from keyfast.trust.roles import RECEIPT_TYP, TIME_TYP
from keyfast.wire.messages import AccessProfile, Receipt, SignedTime

C = RefusalClass


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


async def supersede(desk):
    """The server knows a newer device key of the endpoint."""
    older, desk.key = desk.key, DeviceKey.generate()
    record = await desk.record()
    async with desk.site.database.write() as conn:
        await endpoints.take_key(conn, with_key(record.endpoint, desk.key), int(desk.site.clock()))
    return older


def with_key(row, key):
    return replace(row, thumbprint=key.thumbprint, public_jwk=key.public_jwk())


async def forget(desk):
    """A backup from before the endpoint enrolled was restored."""
    async with desk.site.database.write() as conn:
        for table in (tables.endpoint, tables.presence, tables.device_key, tables.command):
            column = table.c.id if table is tables.endpoint else table.c.endpoint_id
            await conn.execute(table.delete().where(column == desk.id))


def asks_back(desk, **changes):
    return {"receipt": desk.receipt, "seal_jwk": desk.seal.public_jwk(), "hostname": "lab-1"} | changes


async def test_a_device_key_brings_the_newest_password_and_asks_nobody(enrolled):
    await rotated(enrolled)
    told = recovered(await enrolled.recover(last_refusal="account_refused", receipt=enrolled.receipt))
    change, account = enrolled.opened(told.change)
    assert (account.name, account.domain, account.password, account.generation) == ("svc-see", "CORP", NEW, 2)
    assert account.realm == "CORP.EXAMPLE.TEST"
    assert (change.endpoint, change.action, change.epoch, told.epoch) == (enrolled.id, "ChangeWebAccessServer", 1, 1)
    live = enrolled.site.live.current
    profile = live.keyset.verify(change.profile, "keyfast-profile+jwt", AccessProfile)
    assert profile.mode == "windows"
    time = live.keyset.verify(told.statement, TIME_TYP, SignedTime)
    assert (time.challenge, time.time) == ("c", int(enrolled.site.clock()))
    assert (told.state, told.next_try_s, told.receipt) == ("active", 60, "")
    assert told.delegations == live.keyset.delegations()
    assert enrolled.site.directory.tried == []
    ((_, detail),) = await enrolled.site.events("endpoint_recovered")
    assert detail["way"] == "current"
    assert (detail["held_generation"], detail["generation"], detail["account"]) == (1, 2, KEY)
    assert NEW not in str(detail)
    assert NEW not in str(await enrolled.rows())


async def test_only_the_device_s_own_seal_key_opens_it(enrolled):
    await rotated(enrolled)
    told = recovered(await enrolled.recover())
    with pytest.raises(TrustError):
        enrolled.opened(told.change, DeviceKey.generate())


async def test_the_same_change_is_sent_again_until_something_else_is_right(enrolled):
    await rotated(enrolled)
    first = recovered(await enrolled.recover()).change
    assert recovered(await enrolled.recover()).change == first
    assert len(await enrolled.site.events("endpoint_recovered")) == 1
    change, _ = enrolled.opened(first)
    await enrolled.site.change("Third-Passw0rd")
    await enrolled.site.record("Third-Passw0rd")
    second, account = enrolled.opened(recovered(await enrolled.recover()).change)
    assert (second.id, second.seq, account.generation) == (change.id, change.seq + 1, 3)
    assert [row.state for row in await enrolled.rows()] == ["offered"]


async def test_a_statement_that_expired_is_made_anew(enrolled):
    await rotated(enrolled)
    first, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    enrolled.site.clock.now += 8 * 86400
    second, _ = enrolled.opened(recovered(await enrolled.recover(send={"nonce": enrolled.fresh()})).change)
    assert second.id == first.id
    assert second.seq > first.seq
    assert second.expires_at == enrolled.site.clock() + 7 * 86400


async def test_a_change_that_is_staged_already_is_not_sent_again(enrolled):
    await rotated(enrolled)
    change, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.command.update().values(state="received"))
    assert recovered(await enrolled.recover(command=change.id)).change == ""
    again, _ = enrolled.opened(recovered(await enrolled.recover()).change)  # a rolled-back image has lost it
    assert (again.id, again.seq > change.seq) == (change.id, True)


@pytest.mark.parametrize("state", ["failed", "reverted", "expired", "proven"])
async def test_a_change_that_came_to_nothing_is_made_again_in_the_same_row(enrolled, state):
    await rotated(enrolled)
    first, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.command.update().values(state=state))
    second, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    assert (second.id, second.seq) == (first.id, first.seq + 1)


async def test_who_has_the_newest_is_given_nothing(enrolled):
    told = recovered(await enrolled.recover())
    assert (told.change, told.state, told.next_try_s) == ("", "active", 900)
    assert await enrolled.rows() == []
    assert await enrolled.site.events("endpoint_recovered") == []


async def test_a_superseded_key_recovers_and_does_not_work(enrolled):
    older = await supersede(enrolled)
    await rotated(enrolled)
    newest = enrolled.key
    enrolled.key = older
    assert kind(await enrolled.check_in()) is C.KEY_SUPERSEDED
    told = recovered(await enrolled.recover())
    assert enrolled.opened(told.change)[1].password == NEW
    assert [detail["way"] for _, detail in await enrolled.site.events("endpoint_recovered")] == ["superseded"]
    enrolled.key = newest
    assert kind(await enrolled.check_in("")) is C.UNAUTHENTICATED  # it is known, and asked for its password


async def test_a_retired_generation_is_refused_for_work_and_served_by_recovery(enrolled):
    await rotated(enrolled)
    async with enrolled.site.database.write() as conn:
        (first, _) = await accounts.generations(conn)
        await accounts.set_generation(conn, first, replace(first, state=GenerationState.RETIRED))
    await enrolled.site.live.refresh()
    reply = await enrolled.check_in()
    assert kind(reply) is C.RETIRED_GENERATION
    assert reply.outcome.presented == f"credential generation 1 of {KEY}"
    assert reply.outcome.expected == "credential generation 2"
    assert enrolled.site.directory.tried == []
    told = recovered(await enrolled.recover(last_refusal="retired_generation"))
    assert enrolled.opened(told.change)[1].generation == 2


async def test_an_endpoint_asks_for_no_other_account_than_its_own(enrolled):
    await rotated(enrolled)
    enrolled.site.directory.set_password("svc-other", "Other-Passw0rd")
    await enrolled.site.accounts.add("svc-other", Secret(b"Other-Passw0rd"), (), "admin")
    await enrolled.site.live.refresh()
    told = recovered(
        await enrolled.recover(account="CORP\\svc-other", credential_generation=0, last_refusal="account_refused")
    )
    assert enrolled.opened(told.change)[1].name == "svc-see"


async def test_a_rotation_s_target_is_given(enrolled):
    await enrolled.modes.open_(Mode.OAUTH, "", "admin")
    oauth = enrolled.site.live.current.profile(Mode.OAUTH)
    enrolled.targets.wanted = Access(Mode.OAUTH, oauth.seq, rotation="7d1219c7-c4c5-404a-aa1f-6d2a48adfda4")
    change, account = enrolled.opened(recovered(await enrolled.recover()).change)
    assert (account, change.profile) == (None, oauth.statement)


async def test_a_target_that_cannot_be_made_gives_nothing(enrolled):
    enrolled.targets.wanted = Access(Mode.OAUTH, 99, rotation="7d1219c7-c4c5-404a-aa1f-6d2a48adfda4")
    assert recovered(await enrolled.recover()).change == ""
    enrolled.targets.wanted = Access(Mode.WINDOWS, 2, KEY, 9, rotation="7d1219c7-c4c5-404a-aa1f-6d2a48adfda4")
    assert recovered(await enrolled.recover()).change == ""


async def test_who_shows_no_receipt_is_given_one(enrolled):
    """The answer that brought it may have been lost, and a server that forgets asks for it."""
    told = recovered(await enrolled.recover())
    found = enrolled.site.live.current.keyset.verify(told.receipt, RECEIPT_TYP, Receipt)
    assert (found.endpoint, found.thumbprint, found.pending) == (enrolled.id, enrolled.key.thumbprint, False)


async def test_a_change_goes_above_every_number_that_the_endpoint_has_seen(enrolled):
    """This server was restored from before it made them."""
    await rotated(enrolled)
    first, _ = enrolled.opened(recovered(await enrolled.recover()).change)
    again, _ = enrolled.opened(recovered(await enrolled.recover(command_seq=first.seq - 1)).change)
    above, account = enrolled.opened(recovered(await enrolled.recover(command_seq=41)).change)
    assert (again.seq, above.seq, account.generation) == (first.seq, 42, 2)
    assert above.id == first.id


async def test_who_is_refused_with_the_right_number_is_given_what_is_behind_it(enrolled):
    await rotated(enrolled)
    right = {
        "account": KEY,
        "credential_generation": 2,
        "profile_seq": enrolled.site.live.current.profile(Mode.WINDOWS).seq,
    }
    assert recovered(await enrolled.recover(**right)).change == ""
    _, account = enrolled.opened(recovered(await enrolled.recover(**right, last_refusal="account_refused")).change)
    assert (account.password, account.generation) == (NEW, 2)


async def test_an_account_that_cannot_log_on_is_given_to_nobody(enrolled):
    await rotated(enrolled)
    enrolled.site.directory.alter("svc-see", disabled=True)
    await enrolled.site.read()
    assert recovered(await enrolled.recover(last_refusal="account_refused")).change == ""


# --- by receipt


async def test_an_endpoint_that_was_forgotten_is_taken_back_by_its_receipt(enrolled):
    await rotated(enrolled)
    await forget(enrolled)
    assert kind(await enrolled.check_in()) is C.UNKNOWN_DEVICE
    told = recovered(await enrolled.recover(**asks_back(enrolled)))
    assert enrolled.opened(told.change)[1].password == NEW
    again = enrolled.site.live.current.keyset.verify(told.receipt, RECEIPT_TYP, Receipt)
    assert (again.endpoint, again.thumbprint) == (enrolled.id, enrolled.key.thumbprint)
    record = await enrolled.record()
    assert (record.endpoint.name, record.endpoint.account_key, record.endpoint.generation) == ("lab-1", KEY, 1)
    assert (record.presence.state, record.endpoint.mode) == (EndpointState.ACTIVE, Mode.WINDOWS)
    ((_, detail),) = await enrolled.site.events("endpoint_readopted")
    assert (detail["name"], detail["was_known"]) == ("lab-1", False)
    assert recovered(await enrolled.recover(**asks_back(enrolled))).receipt == ""  # known again by its key


async def test_who_is_taken_back_counts_for_its_package_again(enrolled):
    await forget(enrolled)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.enrolment_token.update().values(uses=0))
    recovered(await enrolled.recover(**asks_back(enrolled)))
    async with enrolled.site.database.read() as conn:
        assert [(row.package, row.endpoints) for row in await accounts.built(conn, KEY)] == [
            (enrolled.bundled.package, 1)
        ]


async def test_a_package_that_was_forgotten_too_does_not_matter(enrolled):
    await forget(enrolled)
    async with enrolled.site.database.write() as conn:
        for table in (tables.package, tables.enrolment_token):
            await conn.execute(table.delete())
    recovered(await enrolled.recover(**asks_back(enrolled)))
    async with enrolled.site.database.read() as conn:
        assert [(row.package, row.generation, row.endpoints) for row in await accounts.built(conn, KEY)] == [("", 1, 1)]
        assert await packages.enrolled(conn, "windows", "") == 0


async def test_a_receipt_from_before_the_approval_brings_back_who_waits_for_it(enrolled):
    async with enrolled.site.database.read() as conn:
        record = await endpoints.get(conn, enrolled.id)
    enrolled.receipt = receipt_of(enrolled.site.live.current, record.endpoint, 1, pending=True)
    await forget(enrolled)
    said = await enrolled.recover(**asks_back(enrolled))
    assert said.outcome.kind is C.PENDING
    async with enrolled.site.database.read() as conn:
        assert (await endpoints.get(conn, enrolled.id)).presence.state is EndpointState.PENDING


async def test_a_newer_device_key_that_was_forgotten_comes_back_by_its_receipt(enrolled):
    older = await supersede(enrolled)
    record = await enrolled.record()
    enrolled.receipt = receipt_of(enrolled.site.live.current, record.endpoint, 1)
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.device_key.delete().where(tables.device_key.c.thumbprint == enrolled.key.thumbprint))
        await conn.execute(tables.device_key.update().values(status="current"))
    recovered(await enrolled.recover(**asks_back(enrolled)))
    assert (await enrolled.record()).endpoint.thumbprint == enrolled.key.thumbprint
    assert answered(await enrolled.check_in())
    enrolled.key = older
    assert kind(await enrolled.check_in()) is C.KEY_SUPERSEDED


async def test_a_revoked_endpoint_is_not_taken_back(enrolled):
    async with enrolled.site.database.write() as conn:
        await endpoints.set_state(conn, enrolled.id, EndpointState.ACTIVE, EndpointState.REVOKED)
    assert kind(await enrolled.recover()) is C.REVOKED
    async with enrolled.site.database.write() as conn:
        await conn.execute(tables.device_key.delete())
    assert kind(await enrolled.recover(**asks_back(enrolled))) is C.REVOKED
    assert await enrolled.site.events("endpoint_recovered", "endpoint_readopted") == []


def receipt(desk, keyset=None, **changes):
    claims = Receipt(
        installation=desk.site.live.current.installation.id,
        endpoint=desk.id,
        thumbprint=desk.key.thumbprint,
        seal_thumbprint=desk.seal.thumbprint,
        epoch=1,
        issued_at=1,
    )
    return (keyset or desk.site.live.current.keyset).sign(RECEIPT_TYP, msgspec.structs.replace(claims, **changes))


BAD_RECEIPTS = {
    "noise": (lambda d: {"receipt": "a.b.c"}, C.UNAUTHENTICATED),
    "forged": (
        lambda d: {"receipt": receipt(d, Keyset.generate(d.site.live.current.installation.id, 1))},
        C.UNAUTHENTICATED,
    ),
    "another statement": (lambda d: {"receipt": d.bundled.statement}, C.UNAUTHENTICATED),
    "another device key": (
        lambda d: {"receipt": receipt(d, thumbprint=DeviceKey.generate().thumbprint)},
        C.UNAUTHENTICATED,
    ),
    "another seal key": (lambda d: {"seal_jwk": DeviceKey.generate().public_jwk()}, C.UNAUTHENTICATED),
    "no seal key": (lambda d: {"seal_jwk": {}}, C.UNAUTHENTICATED),
    "no endpoint": (lambda d: {"receipt": receipt(d, endpoint="x")}, C.UNAUTHENTICATED),
    "another installation": (
        lambda d: {"receipt": receipt(d, Keyset.generate("kf-other", 1), installation="kf-other")},
        C.FOREIGN_INSTALLATION,
    ),
    "none": (lambda d: {"receipt": ""}, C.UNKNOWN_DEVICE),
}


@pytest.mark.parametrize("name", BAD_RECEIPTS)
async def test_a_wrong_receipt_brings_nobody_back(enrolled, name):
    make, expected = BAD_RECEIPTS[name]
    await forget(enrolled)
    assert kind(await enrolled.recover(**asks_back(enrolled, **make(enrolled)))) is expected
    assert await enrolled.record() is None
    assert await enrolled.site.events("endpoint_readopted") == []


async def test_somebody_else_s_receipt_is_of_no_use(enrolled):
    await forget(enrolled)
    assert kind(await enrolled.recover(**asks_back(enrolled), send={"key": DeviceKey.generate()})) is C.UNAUTHENTICATED


# --- anonymous, and windows


async def test_anonymous_callers_hear_the_same_whatever_they_ask(enrolled):
    await rotated(enrolled)
    named = [enrolled.id, "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4", "", "no id", enrolled.id.upper()]
    heard = [(await enrolled.recover(endpoint=endpoint, send={"proof": ""})).outcome for endpoint in named]
    assert {repr(outcome) for outcome in heard} == {repr(heard[0])}
    assert heard[0].kind is C.UNAUTHENTICATED
    enrolled.windows.covered = {"3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"}
    for endpoint in named:
        assert (await enrolled.recover(endpoint=endpoint, send={"proof": ""})).outcome == heard[0]


async def test_in_a_window_a_known_endpoint_is_answered_and_it_alone_can_read_that(enrolled):
    await rotated(enrolled)
    enrolled.windows.covered = {enrolled.id}
    told = recovered(await enrolled.recover(send={"proof": ""}))
    assert enrolled.opened(told.change)[1].password == NEW
    assert PASSWORD not in told.change
    assert enrolled.windows.told == [("reached", enrolled.id)]
    ((_, detail),) = await enrolled.site.events("endpoint_recovered")
    assert (detail["way"], detail["window"]) == ("anonymous", "window")


async def test_where_only_windows_recover_a_device_key_waits_for_one(enrolled):
    await rotated(enrolled)
    service = enrolled.recovery(always=False)
    assert kind(await enrolled.recover(service=service)) is C.WINDOW_CLOSED
    enrolled.windows.covered = {enrolled.id}
    assert recovered(await enrolled.recover(service=service)).change
