"""Traffic is counted in memory, written by the minute, and survives a store that is down."""

import pytest
from tests.support.databases import NOW

from keyfast.core.refusal import RefusalClass as R
from keyfast.errors import NotReadyError
from keyfast.services.traffic import KEEP_SECONDS, TrafficCounter
from keyfast.store import traffic
from keyfast.store.database import Database
from keyfast.store.traffic import MINUTE, Minute

START = NOW // MINUTE * MINUTE


async def written(database):
    async with database.read() as conn:
        return await traffic.counted(conn, 0, 2 * NOW)


@pytest.fixture
async def database(url):
    database = await Database.open(url)
    yield database
    await database.close()


@pytest.fixture
def counter(database, clock):
    clock.now = float(START)
    return TrafficCounter(database, "n", clock)


async def test_a_minute_is_a_row_however_often_it_is_written(counter, database, clock):
    for _ in range(3):
        counter.checked_in()
        counter.refused(R.PENDING)
        counter.refused(R.USE_NONCE)
        clock.now += 5
        await counter.flush()
    assert await written(database) == [Minute(START, 3, {"pending": 3})]
    clock.now = START + MINUTE
    counter.checked_in()
    await counter.flush()
    assert await written(database) == [Minute(START, 3, {"pending": 3}), Minute(START + MINUTE, 1, {})]


async def test_nothing_is_written_when_nothing_happened(counter, database):
    await counter.flush()
    await counter.flush()
    assert await written(database) == []


async def test_what_cannot_be_written_is_kept_for_an_hour(url, clock):
    clock.now = float(START)
    closed = await Database.open(url)
    counter = TrafficCounter(closed, "n", clock)
    counter.checked_in()
    await closed.close()
    with pytest.raises(NotReadyError):
        await counter.flush()
    for _ in range(100):
        clock.now += MINUTE
        counter.checked_in()
    with pytest.raises(NotReadyError):
        await counter.flush()
    assert len(counter._minutes) == 60


async def test_old_minutes_are_forgotten(counter, database, clock):
    counter.checked_in()
    await counter.flush()
    clock.now += KEEP_SECONDS + MINUTE
    await counter.flush()
    assert await written(database) == []
