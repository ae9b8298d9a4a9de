"""New device keys: who may vouch for one, what is taken with it, and when none is asked for."""

from dataclasses import replace

import pytest
from tests.support.databases import endpoint_row
from tests.support.desk import answered, kind, recovered

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import RefusalClass
from keyfast.errors import TrustError
from keyfast.services.command import CommandService
from keyfast.store import changes, commands, endpoints
from keyfast.store.commands import CommandRow
from keyfast.trust.device import DeviceKey
from keyfast.trust.renewal import RENEWAL_TYP, make_renewal, read_renewal
from keyfast.trust.roles import COMMAND_TYP, RECEIPT_TYP
from keyfast.trust.statement import sign
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER
from keyfast.wire.messages import Command, Receipt

C = RefusalClass


def statement(desk, new, seal=None, **changes):
    """The statement of a new key, as its endpoint makes it."""
    known = {
        "installation": desk.site.live.current.installation.id,
        "endpoint": desk.id,
        "command": "",
        "former": desk.key.thumbprint,
    }
    return make_renewal(new, seal or new, **(known | changes))


async def keys(desk):
    """Thumbprint of the current key, and the former one's state as those who ask are told it."""
    found = await desk.identities.find(desk.key.thumbprint)
    return (await desk.record()).endpoint.thumbprint, found is not None and found.current


def named(desk, receipt):
    claims = desk.site.live.current.keyset.verify(receipt, RECEIPT_TYP, Receipt)
    return claims.endpoint, claims.thumbprint, claims.seal_thumbprint


async def test_a_check_in_brings_a_new_key_and_twice_is_once(enrolled):
    new, seal = DeviceKey.generate(), DeviceKey.generate()
    brought = statement(enrolled, new, seal)
    told = answered(await enrolled.check_in(renewal=brought))
    assert named(enrolled, told.receipt) == (enrolled.id, new.thumbprint, seal.thumbprint)
    assert await keys(enrolled) == (new.thumbprint, False)
    assert kind(await enrolled.check_in()) is C.KEY_SUPERSEDED
    enrolled.key = new
    again = answered(await enrolled.check_in(renewal=brought))
    assert named(enrolled, again.receipt) == (enrolled.id, new.thumbprint, seal.thumbprint)
    assert answered(await enrolled.check_in()).receipt == ""
    told = [detail for name, detail in await enrolled.site.events() if name == "endpoint_key_renewed"]
    assert [(one["way"], one["thumbprint"]) for one in told] == [("check-in", new.thumbprint)]


async def test_the_same_key_beside_another_sealing_key_is_not_taken(enrolled):
    new = DeviceKey.generate()
    answered(await enrolled.check_in(renewal=statement(enrolled, new)))
    former, enrolled.key = enrolled.key, new
    other = statement(enrolled, new, DeviceKey.generate(), former=former.thumbprint)
    assert answered(await enrolled.check_in(renewal=other)).receipt == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"installation": "another"},
        {"endpoint": "11111111-2222-4333-8444-555555555555"},
        {"former": DeviceKey.generate().thumbprint},
    ],
    ids=["installation", "endpoint", "who vouches"],
)
async def test_a_statement_for_something_else_changes_nothing(enrolled, changes):
    told = answered(await enrolled.check_in(renewal=statement(enrolled, DeviceKey.generate(), **changes)))
    assert told.receipt == ""
    assert await keys(enrolled) == (enrolled.key.thumbprint, True)


async def test_a_statement_that_the_new_key_did_not_sign_is_none(enrolled):
    new, thief = DeviceKey.generate(), DeviceKey.generate()
    payload = statement(enrolled, new).split(".")[1]
    forged = sign(thief, RENEWAL_TYP, b"{}").split(".")
    for text in (f"{forged[0]}.{payload}.{forged[2]}", "no.statement.atall", statement(enrolled, new)[:-4] + "AAAA"):
        assert answered(await enrolled.check_in(renewal=text)).receipt == ""
    assert await keys(enrolled) == (enrolled.key.thumbprint, True)
    with pytest.raises(TrustError, match="vouches for itself"):
        read_renewal(statement(enrolled, new, former=new.thumbprint), enrolled.site.live.current.installation.id)


async def test_nobody_takes_the_key_of_another_endpoint(enrolled):
    theirs = DeviceKey.generate()
    row = replace(endpoint_row(), thumbprint=theirs.thumbprint, public_jwk=theirs.public_jwk())
    async with enrolled.site.database.write() as conn:
        await endpoints.insert(conn, row, EndpointState.ACTIVE)
    assert answered(await enrolled.check_in(renewal=statement(enrolled, theirs))).receipt == ""
    assert (await enrolled.identities.find(theirs.thumbprint)).endpoint_id == row.id


async def test_a_former_key_vouches_in_a_recovery(enrolled):
    new, newest = DeviceKey.generate(), DeviceKey.generate()
    answered(await enrolled.check_in(renewal=statement(enrolled, new)))
    enrolled.nonce = enrolled.fresh()
    told = recovered(await enrolled.recover(renewal=statement(enrolled, newest), receipt=enrolled.receipt))
    assert named(enrolled, told.receipt)[:2] == (enrolled.id, newest.thumbprint)
    assert (await enrolled.record()).endpoint.thumbprint == newest.thumbprint
    assert not (await enrolled.identities.find(new.thumbprint)).current
    # One of its own former keys may come back, too: an image knows no other.
    enrolled.nonce = enrolled.fresh()
    told = recovered(await enrolled.recover(renewal=statement(enrolled, new), receipt=enrolled.receipt))
    assert (await enrolled.identities.find(new.thumbprint)).current


async def test_not_where_recovery_is_closed(enrolled):
    answered(await enrolled.check_in(renewal=statement(enrolled, DeviceKey.generate())))
    closed, enrolled.nonce = enrolled.recovery(always=False), enrolled.fresh()
    brought = statement(enrolled, DeviceKey.generate())
    assert kind(await enrolled.recover(service=closed, renewal=brought)) is C.WINDOW_CLOSED


async def ordered(desk):
    return await CommandService(desk.site.live, desk.site.database, desk.site.clock).renew_key(desk.id, "admin")


async def test_the_command_is_made_when_it_is_sent_and_its_row_says_how_far_it_is(enrolled):
    row = await ordered(enrolled)
    assert (row.statement, row.state) == ("", CommandState.QUEUED)
    (sent,) = answered(await enrolled.check_in()).commands
    claims = enrolled.site.live.current.keyset.verify(sent, COMMAND_TYP, Command)
    assert (claims.id, claims.action, claims.endpoint) == (row.id, "RenewDeviceKey", enrolled.id)
    assert answered(await enrolled.check_in()).commands == (sent,), "the same again until it is there"
    new = DeviceKey.generate()
    answered(await enrolled.check_in(renewal=statement(enrolled, new, command=row.id)))
    assert [found.state for found in await enrolled.rows()] == [CommandState.APPLIED]


async def test_an_endpoint_with_an_unfinished_change_is_not_asked(enrolled):
    now = int(enrolled.site.clock())
    async with enrolled.site.database.write() as conn:
        seq = await commands.next_seq(conn, enrolled.id)
        change = CommandRow(
            enrolled.id, seq, "99999999-2222-4333-8444-555555555555", CHANGE_WEB_ACCESS_SERVER, "jws",
            CommandState.APPLIED, now, now + 99, now,
        )  # fmt: skip
        await changes.add(conn, change)
    await ordered(enrolled)
    assert answered(await enrolled.check_in()).commands == ()
    async with enrolled.site.database.write() as conn:
        await changes.mark(conn, change, CommandState.VERIFIED, now)
    assert len(answered(await enrolled.check_in()).commands) == 1
