"""Every test of the store runs on both databases."""

from collections.abc import AsyncIterator

import pytest
from tests.support.databases import KINDS, new_database

from keyfast.store.database import Database
from keyfast.store.writer import GroupCommit, open_writer


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


@pytest.fixture
async def database(url) -> AsyncIterator[Database]:
    database = await Database.open(url)
    yield database
    await database.close()


@pytest.fixture
async def writer(url) -> AsyncIterator[GroupCommit]:
    writer = await open_writer(url, gap_s=0)
    yield writer
    await writer.close()
