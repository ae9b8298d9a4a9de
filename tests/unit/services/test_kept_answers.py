"""Answers to writes that carry a key: claimed once, whoever is how fast, and given again for a day."""

import asyncio

import pytest
from sqlalchemy import func, select
from tests.support.databases import KINDS, NOW, in_read, new_database

from keyfast.core.idempotency import KEPT_SECONDS, KeyEvent, KeyState
from keyfast.core.secret import Secret
from keyfast.errors import AnswerNotKeptError, KeyReusedError, LookFirstError, NotReadyError
from keyfast.services import idempotency
from keyfast.services.idempotency import Claim, Given, KeptAnswers, Keyed
from keyfast.store.database import Database
from keyfast.store.tables import kept_answer
from keyfast.trust.kek import Kek

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
ASKED = Keyed("socket:", KEY, b"f" * 32)
GIVEN = Given(201, ((b"content-type", b"application/json"),), b'{"token": "kfa_secret"}')


class Store:
    """Answers over a database, and the clock and the KEK in our hands."""

    def __init__(self, database):
        self.now = NOW
        self.kek = Kek("kf-test", "k", {"k": Secret(bytes(32))})
        self.database = database
        self.answers = self.node(database)

    def node(self, database):
        return KeptAnswers(database, lambda: self.kek, lambda: float(self.now))

    async def rows(self):
        return await in_read(self.database, lambda conn: conn.scalar(select(func.count()).select_from(kept_answer)))


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def store(url):
    database = await Database.open(url)
    yield Store(database)
    await database.close()


async def test_the_first_acts_and_the_next_is_answered_the_same(store):
    claim = await store.answers.begin(ASKED)
    assert isinstance(claim, Claim)
    await store.answers.end(claim, KeyEvent.ANSWERED, GIVEN)
    store.now += KEPT_SECONDS - 1
    for _ in range(2):
        assert await store.answers.begin(ASKED) == GIVEN


async def test_another_request_or_another_caller(store):
    claim = await store.answers.begin(ASKED)
    other = Keyed(ASKED.holder, KEY, b"g" * 32)
    with pytest.raises(KeyReusedError):
        await store.answers.begin(other)
    await store.answers.end(claim, KeyEvent.ANSWERED, GIVEN)
    with pytest.raises(KeyReusedError):
        await store.answers.begin(other)
    assert isinstance(await store.answers.begin(Keyed("token:1", KEY, ASKED.fingerprint)), Claim)


async def test_while_it_is_done_or_after_a_death_one_looks_first(store):
    await store.answers.begin(ASKED)
    store.now += 7
    with pytest.raises(LookFirstError, match="7 s ago") as caught:
        await store.answers.begin(ASKED)
    assert "look" in caught.value.repair


async def test_what_was_too_large_was_done(store):
    claim = await store.answers.begin(ASKED)
    await store.answers.end(claim, KeyEvent.OUTGROWN, None)
    with pytest.raises(AnswerNotKeptError):
        await store.answers.begin(ASKED)


async def test_what_was_refused_leaves_the_key(store):
    claim = await store.answers.begin(ASKED)
    await store.answers.end(claim, KeyEvent.REFUSED, None)
    assert await store.rows() == 0
    assert isinstance(await store.answers.begin(ASKED), Claim)


async def test_after_a_day_a_key_is_as_new(store):
    claim = await store.answers.begin(ASKED)
    await store.answers.end(claim, KeyEvent.ANSWERED, GIVEN)
    store.now += KEPT_SECONDS
    again = await store.answers.begin(Keyed(ASKED.holder, KEY, b"g" * 32))
    assert isinstance(again, Claim)
    # Whoever has been at it for a day settles nothing of the one that came after.
    await store.answers.end(claim, KeyEvent.ANSWERED, GIVEN)
    await store.answers.end(claim, KeyEvent.REFUSED, None)
    with pytest.raises(KeyReusedError):
        await store.answers.begin(ASKED)


@pytest.mark.parametrize("event", [KeyEvent.ANSWERED, KeyEvent.OUTGROWN])
async def test_under_another_kek_nothing_can_be_told(store, event):
    claim = await store.answers.begin(ASKED)
    old = store.kek
    store.kek = Kek("kf-test", "n", {"n": Secret(b"n" * 32)})
    with pytest.raises(LookFirstError):
        await store.answers.begin(ASKED)
    store.kek = old
    await store.answers.end(claim, event, GIVEN if event is KeyEvent.ANSWERED else None)
    store.kek = Kek("kf-test", "n", {"n": Secret(b"n" * 32)})
    with pytest.raises(AnswerNotKeptError):
        await store.answers.begin(ASKED)


async def test_of_many_at_once_on_two_nodes_one_acts(store, url):
    other = await Database.open(url)
    nodes = [store.answers, store.node(other)]
    for number in range(5):
        asked = Keyed("socket:", f"{KEY}-{number}", b"f" * 32)
        found = await asyncio.gather(*(node.begin(asked) for node in nodes for _ in range(4)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in found) == ["Claim"] + ["LookFirstError"] * 7
    await other.close()


async def test_many_at_once_take_over_an_expired_key_once(store):
    await store.answers.begin(ASKED)
    store.now += KEPT_SECONDS
    found = await asyncio.gather(*(store.answers.begin(ASKED) for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Claim"] + ["LookFirstError"] * 3


async def test_a_claim_that_is_taken_back_meanwhile_lets_the_next_one_act(store):
    """Whoever waits for the one before and finds nothing acts, however the two meet."""

    async def refused_again_and_again():
        done = 0
        while done < 10:
            try:
                claim = await store.answers.begin(ASKED)
            except LookFirstError:
                continue
            await store.answers.end(claim, KeyEvent.REFUSED, None)
            done += 1

    await asyncio.gather(refused_again_and_again(), refused_again_and_again())
    assert await store.rows() == 0


async def test_old_ones_are_forgotten_some_at_a_time(store, monkeypatch):
    monkeypatch.setattr(idempotency, "PORTION", 2)
    for number in range(5):
        await store.answers.begin(Keyed("socket:", f"{KEY}-{number}", b"f" * 32))
    store.now += KEPT_SECONDS - 1
    await store.answers.begin(ASKED)
    await store.answers.tick()
    assert await store.rows() == 6
    store.now += 1
    assert [await store.answers._forget() for _ in range(2)] == [2, 2]
    await store.answers.tick()
    assert await store.rows() == 1


async def test_while_the_store_is_down_nothing_is_claimed(store):
    await store.database.close()
    with pytest.raises(NotReadyError):
        await store.answers.begin(ASKED)


async def test_neither_request_nor_answer_is_in_the_table_or_in_a_repr(store):
    claim = await store.answers.begin(ASKED)
    await store.answers.end(claim, KeyEvent.ANSWERED, GIVEN)
    row = (await in_read(store.database, lambda conn: conn.execute(select(kept_answer)))).one()
    assert row.state == KeyState.ANSWERED
    shown = repr((row, claim, GIVEN, ASKED, await store.answers.begin(ASKED)))
    assert "kfa_secret" not in shown
    assert "ffff" not in shown
