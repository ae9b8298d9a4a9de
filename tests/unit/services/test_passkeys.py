"""Passkeys on record, and answers that are none; authenticators themselves are in the test with a browser."""

import json
import os

import pytest
from tests.support.databases import KINDS, NOW, new_database, some_id
from tests.support.office import HOME, Office

from keyfast.errors import ConflictError, NotFoundError, NotSignedInError, TrustError, UsageError
from keyfast.services.passkeys import MOST, PasskeyService
from keyfast.services.waiting import MOST as MOST_WAITING
from keyfast.services.waiting import SECONDS, Waiting
from keyfast.store import passkeys, people
from keyfast.store.database import Database
from keyfast.store.passkeys import PasskeyRow

NONSENSE = ("", "{}", "[]", "null", "x", '{"id":"a","rawId":"a","type":"public-key","response":{}}', "{" * 10_000)


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def office(url):
    database = await Database.open(url)
    made = Office(database)
    await made.hire()
    made.passkeys = PasskeyService(database, "https://k.example.com:8444", made.sign_in, made.clock, os.urandom)
    async with database.read() as conn:
        made.alice = (await people.by_name(conn, "alice")).person
    yield made
    await database.close()


async def _put(office, credential=b"c", person_id=""):
    row = PasskeyRow(credential, some_id(), person_id or office.alice.id, "key", b"p", 3, NOW)
    async with office.database.write() as conn:
        assert await passkeys.add(conn, row)
    return row


async def test_what_a_browser_is_asked(office):
    await _put(office)
    asked = json.loads((await office.passkeys.begin_adding(office.alice)).options)
    assert asked["rp"] == {"name": "Keyfast", "id": "k.example.com"}
    assert asked["user"]["name"] == "alice"
    assert [one["id"] for one in asked["excludeCredentials"]] == ["Yw"]
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    used = office.passkeys.begin_using()
    options = json.loads(used.options)
    assert (options["rpId"], options["userVerification"], options["allowCredentials"]) == (
        "k.example.com",
        "required",
        [],
    )
    assert used.ticket.reveal().decode() not in repr(used)


@pytest.mark.parametrize("answer", NONSENSE)
async def test_an_answer_that_is_none(office, answer):
    making = await office.passkeys.begin_adding(office.alice)
    with pytest.raises(TrustError):
        await office.passkeys.add(office.alice, "k", making.ticket.reveal().decode(), answer)
    using = office.passkeys.begin_using()
    with pytest.raises(NotSignedInError):
        await office.passkeys.use(using.ticket.reveal().decode(), answer, HOME)


async def test_a_ticket_is_for_one_person_one_purpose_and_once(office):
    await office.hire("bob")
    async with office.database.read() as conn:
        bob = (await people.by_name(conn, "bob")).person
    tickets = [(await office.passkeys.begin_adding(office.alice)).ticket for _ in range(2)]
    for person, ticket in (
        (bob, tickets[0]),
        (office.alice, tickets[0]),
        (office.alice, office.passkeys.begin_using().ticket),
    ):
        with pytest.raises(NotSignedInError):
            await office.passkeys.add(person, "k", ticket.reveal().decode(), "{}")
    with pytest.raises(NotSignedInError):
        await office.passkeys.use(tickets[1].reveal().decode(), "{}", HOME)
    for name in ("", " ", "a\nb", "x" * 61):
        with pytest.raises(UsageError):
            await office.passkeys.add(office.alice, name, tickets[1].reveal().decode(), "{}")


async def test_a_person_has_so_many_and_each_is_one_persons(office):
    for number in range(MOST):
        await _put(office, bytes([number]))
    with pytest.raises(ConflictError):
        await office.passkeys.begin_adding(office.alice)
    async with office.database.write() as conn:
        assert not await passkeys.add(conn, PasskeyRow(b"\0", some_id(), some_id(), "k", b"p", 0, NOW))


async def test_only_ones_own_are_removed_and_a_reset_removes_all(office):
    await office.hire("bob")
    mine, other = await _put(office, b"1"), await _put(office, b"2")
    for name, number in (("bob", mine.id), ("nobody", mine.id), ("alice", "nonsense"), ("alice", some_id())):
        with pytest.raises(NotFoundError):
            await office.passkeys.remove(name, number, "test")
    await office.passkeys.remove("alice", mine.id, "test")
    assert [line.id for line in await office.passkeys.list_("alice")] == [other.id]
    await office.people.reset("alice", "test")
    assert await office.passkeys.list_("alice") == []
    with pytest.raises(NotFoundError):
        await office.passkeys.list_("nobody")


async def test_a_use_is_noted(office):
    row = await _put(office)
    async with office.database.write() as conn:
        await passkeys.note_use(conn, row.credential, uses=4, at=NOW + 5)
        found = await passkeys.get(conn, row.credential)
    assert (found.uses, found.used_at) == (4, NOW + 5)


async def test_whoever_is_not_active_does_not_come_in_by_one(office):
    assert await office.sign_in.admit_by_passkey(office.alice.id, HOME) is not None
    await office.people.disable("alice", "test")
    assert await office.sign_in.admit_by_passkey(office.alice.id, HOME) is None
    assert await office.sign_in.admit_by_passkey(some_id(), HOME) is None


def test_what_waits_is_taken_once_in_time_and_bounded():
    now = [NOW]
    waiting = Waiting(lambda: now[0])
    first = waiting.put("a").reveal().decode()
    assert (waiting.take(first), waiting.take(first), waiting.take("\ud800")) == ("a", None, None)
    late = waiting.put("b").reveal().decode()
    now[0] += SECONDS
    assert waiting.take(late) is None
    oldest = waiting.put("c").reveal().decode()
    for _ in range(MOST_WAITING):
        waiting.put("d")
    assert waiting.take(oldest) is None
