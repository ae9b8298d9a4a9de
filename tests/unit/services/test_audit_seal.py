"""Whoever can write to the database alone can make a whole trail anew, and is found out by its seals."""

import pytest
from sqlalchemy import delete, insert, update

from keyfast.core.audit import Act, Actor, Head, Via, appended, end_of
from keyfast.core.audit_actions import SEALED
from keyfast.errors import NotFoundError
from keyfast.services.audit import STRETCH, AuditService
from keyfast.services.audit_seal import Seals, TrailSealer
from keyfast.store import audit, events
from keyfast.store.acts import acting
from keyfast.store.tables import audit as table
from keyfast.store.tables import audit_head
from keyfast.trust.kek import Kek

ANNA = Actor("anna", Via.LOCAL_SOCKET)


@pytest.fixture
def seals(site):
    return Seals(lambda: site.kek)


@pytest.fixture
def sealer(site, seals):
    return TrailSealer(site.database, seals, site.clock)


@pytest.fixture
def trail(site, seals):
    return AuditService(site.live, site.database, seals, "server", site.clock)


async def act(site, node):
    with acting(ANNA):
        async with site.database.write() as conn:
            await events.add(conn, at=7, kind="node_forgotten", endpoint_id=None, detail={"node": node})


async def made_anew(site, change, forge=lambda entry: entry):
    """Change what ``change`` changes, and make every hash and the head anew, as somebody with the database can."""
    async with site.database.write() as conn:
        entries = await audit.list_after(conn, 0, 100)
        head = await audit.start(conn)
        await conn.execute(delete(table))
        for entry in filter(None, map(change, entries)):
            record = entry.record
            actor = Actor(record.actor, Via(record.via), record.role, record.request)
            again = appended(
                head, Act(record.at, actor, record.action, record.subject_kind, record.subject, record.detail)
            )
            await conn.execute(insert(table), [audit._columns(again)])
            head = end_of(again)
        await conn.execute(update(audit_head).values(number=head.number, hash=head.hash))


def of_another(node, actor):
    """Return what puts an act on somebody else's account."""

    def change(entry):
        if entry.record.subject != node:
            return entry
        return type(entry)(type(entry.record)(**fields(entry.record) | {"actor": actor}), entry.hash)

    return change


def fields(record):
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_a_seal_vouches_for_everything_before_it(site, sealer, trail):
    await sealer.tick()
    assert (await trail.verify(None)).sealed == 0
    await act(site, "one")
    await act(site, "two")
    await sealer.tick()
    await sealer.tick()  # nothing was done since
    found = await trail.verify(None)
    assert (found.broken, found.sealed, found.upto.number, found.last) == (0, 2, 3, 3)
    newest = (await trail.list_page(before=None, limit=1))[0].record
    assert (newest.action, newest.actor, newest.subject) == (SEALED, "keyfast", "2")
    await act(site, "three")
    assert (await trail.verify(None)).sealed == 2
    await sealer.tick()
    assert (await trail.verify(None)).sealed == 4


async def test_a_trail_that_was_made_anew_contradicts_its_seal(site, sealer, trail):
    for node in ("one", "two"):
        await act(site, node)
    await sealer.tick()
    await made_anew(site, of_another("one", "ben"))
    found = await trail.verify(None)
    assert (found.done, found.broken, found.fault) == (True, 2, "not as sealed")
    assert "when the server sealed" in found.sentence


async def test_without_its_seals_a_trail_made_anew_is_not_sealed(site, sealer, trail):
    for node in ("one", "two"):
        await act(site, node)
    await sealer.tick()
    await made_anew(site, lambda entry: None if entry.record.action == SEALED else of_another("one", "ben")(entry))
    found = await trail.verify(None)
    assert (found.broken, found.sealed) == (0, 0)


async def test_a_seal_of_another_key_vouches_for_nothing(site, seals, trail):
    await act(site, "one")
    head = await trail.head()
    kek = Kek(head.installation, "", {})
    kek.add_key()
    foreign = Seals(lambda: kek)
    async with site.database.write() as conn:
        await audit.append(conn, [foreign.act(Head(head.number, head.hash), 7)])
    found = await trail.verify(None)
    assert (found.broken, found.sealed, found.upto.number) == (0, 0, 2)


async def test_a_long_trail_is_verified_in_stretches(site, sealer, trail):
    async with site.database.write() as conn:
        await audit.append(conn, [Act(7, ANNA, "keys_exported", "installation", "", {})] * (STRETCH + 1))
    await sealer.tick()
    first = await trail.verify(None)
    assert (first.done, first.upto.number, first.last, first.sealed) == (False, STRETCH, STRETCH + 2, 0)
    second = await trail.verify(first.upto)
    assert (second.done, second.broken, second.sealed) == (True, 0, STRETCH + 1)
    with pytest.raises(NotFoundError):
        await trail.show(STRETCH + 3)
