"""Passwords that the directory is shown, and what it is asked without one."""

import asyncio

import pytest
from tests.support.databases import KINDS, NOW, new_database
from tests.support.office import DORA, PASSWORD, PERSON, WRONG, directory_office

from keyfast.core.person import Session, SignInRefusal
from keyfast.core.throttle import DIRECTORY_REST, DIRECTORY_TRIES, LONGEST
from keyfast.errors import ConflictError, NotReadyError
from keyfast.services.person_groups import PersonGroups
from keyfast.store import sign_in_failures
from keyfast.store.database import Database


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def office(url):
    database = await Database.open(url)
    yield directory_office(database)
    await database.close()


async def wrong(office, number, name=DORA):
    return await office.enter(name, WRONG, address=f"198.51.100.{number}")


async def test_the_directory_is_shown_three_wrong_passwords_from_wherever_they_come(office):
    answers = [await wrong(office, number) for number in range(12)]
    assert [answer.retry_after for answer in answers] == [0] * DIRECTORY_TRIES + [DIRECTORY_REST] * 9
    assert len(office.directory.tried) == DIRECTORY_TRIES
    assert (await office.enter(DORA)).retry_after == DIRECTORY_REST, "not even the right one"
    office.now += DIRECTORY_REST
    assert isinstance(await office.enter(DORA), Session)
    assert [(await wrong(office, number + 50)).retry_after for number in range(4)] == [0, 0, 0, DIRECTORY_REST]


async def test_many_at_once_show_the_directory_no_more(office):
    await asyncio.gather(*(wrong(office, number) for number in range(12)))
    assert len(office.directory.tried) == DIRECTORY_TRIES


async def test_an_account_that_is_none_cannot_be_told_from_one(office):
    for name in (DORA, "CORP\\nobody"):
        answers = [(await wrong(office, number, name)).retry_after for number in range(5)]
        assert answers == [0, 0, 0, DIRECTORY_REST, DIRECTORY_REST]


async def test_nobody_makes_the_server_forget_what_the_directory_was_shown(office):
    for number in range(DIRECTORY_TRIES):
        await wrong(office, number)
    async with office.database.write() as conn:
        await sign_in_failures.forget(conn, last_before=NOW + 1, most=0)
    assert (await wrong(office, 99)).retry_after == DIRECTORY_REST


async def test_a_password_that_the_directory_may_have_seen_counts(office, monkeypatch):
    async def dies(name, password):
        raise NotReadyError("dc1 closed the connection")

    with monkeypatch.context() as dying:
        dying.setattr(office.directory, "verify", dies)
        for _ in range(DIRECTORY_TRIES):
            with pytest.raises(NotReadyError):
                await office.enter(DORA)
    assert "sign_in_failed" not in await office.kinds()
    assert (await office.enter(DORA)).retry_after == DIRECTORY_REST


async def test_a_right_password_ends_the_row(office):
    for _ in range(3):
        for number in range(DIRECTORY_TRIES - 1):
            assert (await wrong(office, number)).retry_after == 0
            office.now += LONGEST
        assert isinstance(await office.enter(DORA), Session)


async def test_a_right_password_of_an_account_that_may_not_be_used_is_none_of_the_row(office):
    office.directory.alter("dora", password_expired=True)
    for number in range(2 * DIRECTORY_TRIES):
        assert await office.enter(DORA, address=f"198.51.100.{number}") == SignInRefusal()
    office.directory.alter("dora", password_expired=False)
    assert isinstance(await office.enter(DORA), Session)


async def test_what_somebody_would_be_is_told_without_a_password(office):
    asks = PersonGroups(office.database, office.there)
    view = await asks.show("")
    assert [(line.name, line.role, line.rings, line.known) for line in view.groups] == [
        ("kf berlin", "operator", ("berlin",), True),
        ("kf admins", "administrator", (), True),
    ]
    assert view.member is None
    del office.directory.groups["kf admins"]
    for typed in (DORA, "dora", PERSON):
        view = await asks.show(typed)
        assert (view.member.name, view.member.refused, view.member.group) == (PERSON, "", "kf berlin")
        assert (view.member.role, view.member.rings, view.member.groups) == ("operator", ("berlin",), ("kf berlin",))
        assert [line.known for line in view.groups] == [True, False]
    assert office.directory.tried == []


async def test_why_somebody_could_not_sign_in_is_told(office):
    asks = PersonGroups(office.database, office.there)
    office.directory.hire("otto", PASSWORD)

    async def why(name):
        return (await asks.show(name)).member.refused

    assert await why("nobody") == "the directory has no such account"
    assert await why("otto") == "the account is in none of the groups"
    office.directory.alter("dora", locked=True)
    assert await why("dora") == "the account is locked out"
    office.directory.alter("dora", locked=False)
    await office.enter(DORA)
    assert await why("dora") == ""
    await office.people.disable(PERSON, "test")
    assert await why("dora") == f"{PERSON} is switched off here"
    office.directory.hire("carl", PASSWORD, "kf admins")
    await office.hire("carl@corp.example.test")
    assert await why("carl") == "the name belongs to somebody who was added here"
    office.directory.down = {"dc1"}
    with pytest.raises(NotReadyError):
        await why("dora")


async def test_without_groups_there_is_nothing_to_ask(office):
    asks = PersonGroups(office.database, None)
    assert (await asks.show("")).groups == ()
    with pytest.raises(ConflictError, match="no group"):
        await asks.show("dora")
