"""Signing in, over a real store: sessions, their limits, the throttle, and what ends a session."""

import asyncio
import os

import pytest
from msgspec.structs import replace
from tests.support.databases import KINDS, NOW, new_database
from tests.support.office import HOME, RIGHT, WRONG, Office

from keyfast.core.person import Session, SignInRefusal
from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.core.session import ABSOLUTE, IDLE, TOUCH
from keyfast.core.throttle import FORGET, FREE, LONGEST, Counted
from keyfast.errors import NotFoundError, NotReadyError
from keyfast.services.sign_in import MOST_WAITING, SignInService
from keyfast.store import events, people, sessions, sign_in_failures
from keyfast.store.database import Database
from keyfast.trust.sign_in import CHEAPEST, Passwords
from keyfast.wire.people import PersonChange, PersonOrder, TokenOrder

AWAY = "198.51.100.7"


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def office(url):
    database = await Database.open(url)
    made = Office(database)
    await made.hire()
    yield made
    await database.close()


async def test_whoever_is_right_is_in(office):
    session = await office.enter(" Alice ")
    signed = await office.sign_in.person_of(session.token.reveal().decode())
    assert (signed.person.name, signed.person.role) == ("alice", Role.OPERATOR)
    assert (signed.session_id, signed.signed_in_at, signed.proved_at) == (session.id, NOW, NOW)
    assert session.ends_at == NOW + ABSOLUTE
    assert (await office.people.show("alice")).signed_in_at == NOW


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", WRONG), ("alice", Secret(b"")), ("nobody", RIGHT), ("", RIGHT), ("a" * 5000, RIGHT), ("a\0b", RIGHT)],
)
async def test_every_wrong_sign_in_looks_the_same(office, name, password):
    assert await office.enter(name, password) == SignInRefusal()


async def test_the_invited_and_those_switched_off_do_not_get_in(office):
    await office.people.add(PersonOrder("bob", Role.AUDITOR), "test")
    assert await office.enter("bob", Secret(b"")) == SignInRefusal()
    await office.people.disable("alice", "test")
    assert await office.enter() == SignInRefusal()


async def test_every_sign_in_has_a_token_of_its_own(office):
    first, second = await office.token(), await office.token()
    assert first != second
    await office.sign_in.end(first)
    assert await office.sign_in.person_of(first) is None
    assert await office.sign_in.person_of(second) is not None


@pytest.mark.parametrize("planted", ["", "kfs_", "kfs_planted", "x", "kfs_" + "a" * 5000, "kfs_\ud800"])
async def test_a_planted_token_is_no_session(office, planted):
    await office.token()
    assert await office.sign_in.person_of(planted) is None
    assert not await office.sign_in.prove_again(planted, RIGHT, "")
    await office.sign_in.end(planted)


async def test_a_session_ends_when_nobody_uses_it(office):
    token = await office.token()
    office.now += IDLE - 1
    assert await office.sign_in.person_of(token) is not None
    office.now += IDLE
    assert await office.sign_in.person_of(token) is None
    office.now -= IDLE
    assert await office.sign_in.person_of(token) is None, "an ended session stays ended when the clock goes back"


async def test_a_session_ends_however_busy(office):
    token = await office.token()
    while office.now < NOW + ABSOLUTE - 600:
        office.now += 600
        assert await office.sign_in.person_of(token) is not None
    office.now += 600
    assert await office.sign_in.person_of(token) is None


async def test_requests_are_noted_once_a_minute(office):
    token = await office.token()
    for after, noted in ((TOUCH - 1, NOW), (TOUCH, NOW + TOUCH)):
        office.now = NOW + after
        await office.sign_in.person_of(token)
        assert (await office.sessions.list_(0, 10))[0].seen_at == noted


async def test_a_page_that_asks_by_itself_keeps_no_session_alive(office):
    token = await office.token()
    office.now += IDLE - 1
    assert await office.sign_in.person_of(token, watching=True) is not None
    assert (await office.sessions.list_(0, 10))[0].seen_at == NOW
    office.now += 1
    assert await office.sign_in.person_of(token, watching=True) is None
    office.now -= 1
    assert await office.sign_in.person_of(token) is None, "it has ended"


@pytest.mark.parametrize("act", ["disable", "reset", "change"])
async def test_what_is_taken_from_somebody_ends_their_sessions(office, act):
    token = await office.token()
    made = await office.tokens.create(TokenOrder("alice", "t", ("read",), 1), "test")
    if act == "change":
        await office.people.change("alice", PersonChange(role=Role.AUDITOR), "test")
    else:
        await getattr(office.people, act)("alice", "test")
    assert await office.sign_in.person_of(token) is None
    caller = await office.tokens.caller_of(Secret(made.token.encode()))
    assert (caller is None) == (act != "change")


async def test_a_change_of_nothing_ends_no_session(office):
    token = await office.token()
    await office.people.change("alice", PersonChange(role=Role.OPERATOR), "test")
    assert await office.sign_in.person_of(token) is not None


async def test_an_administrator_ends_a_session(office):
    token = await office.token()
    (line,) = await office.sessions.list_(0, 10)
    assert (line.person, line.address) == ("alice", HOME)
    await office.sessions.end(line.id, "test")
    assert await office.sign_in.person_of(token) is None
    for gone in (line.id, "nonsense"):
        with pytest.raises(NotFoundError):
            await office.sessions.end(gone, "test")


async def test_old_sessions_are_removed_by_new_ones(office):
    await office.token()
    office.now += ABSOLUTE + 1
    await office.token()
    assert len(await office.sessions.list_(0, 10)) == 1


async def test_proving_again_is_remembered_and_only_if_right(office):
    token = await office.token()
    office.now += 600
    assert not await office.sign_in.prove_again(token, WRONG, "")
    assert (await office.sign_in.person_of(token)).proved_at == NOW
    assert await office.sign_in.prove_again(token, RIGHT, "")
    assert (await office.sign_in.person_of(token)).proved_at == NOW + 600


async def test_proving_again_is_throttled_too(office):
    token = await office.token()
    for _ in range(FREE[Counted.PAIR] + 1):
        assert not await office.sign_in.prove_again(token, WRONG, "")
    assert not await office.sign_in.prove_again(token, RIGHT, "")


async def test_failures_make_one_wait_and_a_right_password_clears_them(office):
    for _ in range(FREE[Counted.PAIR] + 1):
        assert await office.enter(password=WRONG) == SignInRefusal()
    waiting = await office.enter()
    assert waiting.retry_after > 0
    office.now += waiting.retry_after
    assert isinstance(await office.enter(), Session)
    assert await office.enter(password=WRONG) == SignInRefusal()


async def test_nobody_is_locked_out_by_others(office):
    for number in range(40):
        await office.enter(password=WRONG, address=f"198.51.100.{number}")
    assert isinstance(await office.enter(address=HOME), Session)


async def test_many_at_once_are_no_way_around_the_throttle(office):
    answers = await asyncio.gather(*(office.enter(password=WRONG) for _ in range(12)))
    looked_at = [answer for answer in answers if not answer.retry_after]
    assert len(looked_at) == FREE[Counted.PAIR] + 1


async def test_an_address_that_tries_many_names_waits(office):
    for number in range(FREE[Counted.ADDRESS] + 1):
        await office.enter(f"name{number}", WRONG, address=AWAY)
    assert (await office.enter(address=AWAY)).retry_after > 0


async def test_what_is_kept_of_failures_is_bounded(office):
    async with office.database.write() as conn:
        for number in range(30):
            await sign_in_failures.save(conn, {bytes([number]): sign_in_failures.Failures(1, NOW + number)})
        await sign_in_failures.forget(conn, last_before=NOW + 5, most=10)
        kept = await sign_in_failures.load(conn, [bytes([number]) for number in range(30)])
    assert [number for number in range(30) if kept[bytes([number])].count] == list(range(20, 30))


async def test_failures_are_forgotten_after_a_day(office):
    for _ in range(8):
        office.now += LONGEST
        await office.enter(password=WRONG)
    office.now += FORGET
    assert await office.enter(password=WRONG) == SignInRefusal()
    assert isinstance(await office.enter(), Session)


async def test_events_of_failures_are_few_and_name_nobody_unknown(office):
    for _ in range(20):
        office.now += LONGEST
        await office.enter("my password by mistake", WRONG)
    async with office.database.read() as conn:
        rows = await events.list_page(conn, endpoint_id=None, before=None, limit=100)
    failed = [row for row in rows if row.kind == "sign_in_failed"]
    assert [row.detail["failures"] for row in reversed(failed)] == [1, 2, 4, 8, 16]
    assert {row.detail["person"] for row in failed} == {""}


async def test_too_many_at_once_are_told_to_come_back(office):
    office.sign_in._waiting = MOST_WAITING
    with pytest.raises(NotReadyError):
        await office.enter()
    office.sign_in._waiting = 0
    assert isinstance(await office.enter(), Session)


async def test_a_hash_of_another_cost_is_made_anew(office):
    dearer = Passwords(replace(CHEAPEST, iterations=2))
    service = SignInService(office.database, office.codes, dearer, office.clock, os.urandom)
    assert isinstance(await service.begin("alice", RIGHT, "", HOME), Session)
    async with office.database.read() as conn:
        assert dearer.is_current((await people.by_name(conn, "alice")).password_hash)
    assert isinstance(await office.enter(), Session)


async def test_whoever_is_reset_meanwhile_is_not_let_in(office):
    class Meanwhile(Passwords):
        def __init__(self, act):
            super().__init__(CHEAPEST)
            self.act = act

        def holds(self, password, hashed):
            asyncio.run_coroutine_threadsafe(self.act(), loop).result(20)
            return super().holds(password, hashed)

    loop = asyncio.get_running_loop()
    passwords = Meanwhile(lambda: office.people.reset("alice", "test"))
    service = SignInService(office.database, office.codes, passwords, office.clock, os.urandom)
    assert await service.begin("alice", RIGHT, "", HOME) == SignInRefusal()
    async with office.database.read() as conn:
        assert (await people.by_name(conn, "alice")).password_hash == ""
        assert await sessions.list_page(conn, after="", limit=9) == []


async def test_sessions_are_paged_past_those_of_the_same_second(office):
    for _ in range(4):
        await office.token()
    shown, after = [], ""
    while page := await office.sessions.list_(after, 2):
        shown += [line.id for line in page]
        after = shown[-1]
    assert len(shown) == len(set(shown)) == 4
    assert await office.sessions.list_("nonsense", 2) == []
    assert await office.sessions.list_("0" * 8 + "-0000-4000-8000-" + "0" * 12, 2) == []


async def test_no_row_shows_what_it_holds(office):
    invited = await office.people.add(PersonOrder("bob", Role.HELPDESK), "test")
    token = await office.token()
    async with office.database.read() as conn:
        shown = repr(await people.list_page(conn, after="", limit=9))
        shown += repr(await sessions.list_page(conn, after="", limit=9))
    assert "argon2" not in shown
    for secret in (invited.code, token):
        assert secret not in shown


async def test_everything_is_told(office):
    token = await office.token()
    await office.sign_in.end(token)
    await office.people.disable("alice", "test")
    assert await office.kinds() == ["person_added", "signed_in", "signed_out", "person_disabled"]
