"""Searches that people keep: each their own, so many and no more."""

import pytest
from tests.support.databases import KINDS, NOW, new_database

from keyfast.core.person import Person
from keyfast.core.protection import Disks
from keyfast.core.role import Role
from keyfast.core.search import EVERYTHING, MAX_TEXT, Search
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.services.saved_searches import MAX_NAME, MOST, SavedSearchService
from keyfast.store.database import Database

ADA, BOB = Person("1", "ada", Role.OPERATOR), Person("2", "bob", Role.HELPDESK)
EXPOSED = Search(disks=Disks.EXPOSED)


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def searches(url):
    database = await Database.open(url)
    yield SavedSearchService(database, lambda: NOW)
    await database.close()


async def test_everybody_keeps_their_own(searches):
    await searches.save(ADA, " open disks ", EXPOSED)
    await searches.save(BOB, "open disks", Search(q="pc"))
    assert [(row.name, row.search, row.saved_at) for row in await searches.list_(ADA)] == [("open disks", EXPOSED, NOW)]
    await searches.save(ADA, "open disks", Search(ring="lab"))
    assert [row.search for row in await searches.list_(ADA)] == [Search(ring="lab")]
    await searches.remove(ADA, "open disks")
    assert await searches.list_(ADA) == []
    assert len(await searches.list_(BOB)) == 1
    with pytest.raises(NotFoundError):
        await searches.remove(ADA, "open disks")


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("", EXPOSED),
        ("a\nb", EXPOSED),
        ("n" * (MAX_NAME + 1), EXPOSED),
        ("n", EVERYTHING),
        ("n", Search(q="x" * (MAX_TEXT + 1))),
    ],
)
async def test_what_is_none_is_not_kept(searches, name, search):
    with pytest.raises(UsageError):
        await searches.save(ADA, name, search)
    assert await searches.list_(ADA) == []


async def test_so_many_and_no_more(searches):
    for number in range(MOST):
        await searches.save(ADA, f"{number:02}", EXPOSED)
    with pytest.raises(ConflictError):
        await searches.save(ADA, "one more", EXPOSED)
    await searches.save(ADA, "00", Search(q="pc"))
    assert len(await searches.list_(ADA)) == MOST
