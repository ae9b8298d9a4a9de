"""People, over a real store: second factors, invitations, who can be added, and their API tokens."""

import pytest
from msgspec.structs import replace
from tests.support.databases import KINDS, NOW, new_database
from tests.support.office import RIGHT, Office

from keyfast.core.person import Session, SignInRefusal
from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.core.throttle import FORGET
from keyfast.errors import ConflictError, NotFoundError, TransitionError, UsageError
from keyfast.services.api_tokens import DAY, MAX_DAYS
from keyfast.services.people import INVITED_SECONDS
from keyfast.store.database import Database
from keyfast.wire.people import PersonOrder, TokenOrder


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


async def test_a_second_factor_is_demanded_from_its_first_code_on(office):
    shown = await office.authenticator()
    assert isinstance(await office.enter(), Session)
    with pytest.raises(UsageError):
        await office.codes.confirm("alice", "000000" if shown(NOW) != "000000" else "000001", "test")
    await office.codes.confirm("alice", shown(NOW), "test")
    assert (await office.people.show("alice")).second_factor
    for code in ("", shown(NOW), "12345", "1234567", "\u0661" * 6):
        office.now += FORGET
        assert await office.enter(code=code) == SignInRefusal(), "without a code, or with one that was used"
    assert isinstance(await office.enter(code=shown(office.now)), Session)
    assert await office.enter(code=shown(office.now)) == SignInRefusal()
    assert isinstance(await office.enter(code=shown(office.now + 30)), Session)
    assert await office.enter(code=shown(office.now - 30)) == SignInRefusal()


async def test_a_second_factor_is_not_replaced_but_reset(office):
    shown = await office.authenticator()
    shown = await office.authenticator()
    await office.codes.confirm("alice", shown(NOW), "test")
    with pytest.raises(ConflictError):
        await office.codes.begin("alice")
    with pytest.raises(ConflictError):
        await office.codes.confirm("alice", shown(NOW + 30), "test")
    await office.people.reset("alice", "test")
    assert not (await office.people.show("alice")).second_factor
    with pytest.raises(NotFoundError):
        await office.codes.begin("nobody")


async def test_an_invitation_is_taken_up_once(office):
    invited = await office.people.add(PersonOrder("Bob", Role.HELPDESK, ("b", "a", "b")), "test")
    assert (invited.person.state, invited.person.rings) == ("invited", ("a", "b"))
    with pytest.raises(UsageError):
        await office.people.join(invited.code, Secret(b"short"))
    with pytest.raises(NotFoundError):
        await office.people.join(invited.code + "x", RIGHT)
    line = await office.people.join(f" {invited.code}\n", RIGHT)
    assert (line.name, line.state) == ("bob", "active")
    assert isinstance(await office.enter("bob"), Session)
    with pytest.raises(NotFoundError):
        await office.people.join(invited.code, RIGHT)


async def test_an_invitation_ends(office):
    invited = await office.people.reset("alice", "test")
    office.now += INVITED_SECONDS
    with pytest.raises(NotFoundError):
        await office.people.join(invited.code, RIGHT)


async def test_a_new_invitation_voids_the_one_before(office):
    first, second = await office.people.reset("alice", "test"), await office.people.reset("alice", "test")
    with pytest.raises(NotFoundError):
        await office.people.join(first.code, RIGHT)
    await office.people.join(second.code, RIGHT)


async def test_whoever_was_off_comes_back_by_an_invitation(office):
    await office.people.disable("alice", "test")
    for act in (office.people.disable, office.people.reset):
        with pytest.raises(TransitionError):
            await act("alice", "test")
    invited = await office.people.enable("alice", "test")
    assert await office.enter() == SignInRefusal()
    await office.people.join(invited.code, RIGHT)
    assert isinstance(await office.enter(), Session)


@pytest.mark.parametrize(
    "order",
    [
        PersonOrder("", Role.AUDITOR),
        PersonOrder("a b", Role.AUDITOR),
        PersonOrder("a/b", Role.AUDITOR),
        PersonOrder("a\u202eb", Role.AUDITOR),
        PersonOrder("a" * 65, Role.AUDITOR),
        PersonOrder("bob", Role.AUDITOR, (" ",)),
        PersonOrder("bob", Role.AUDITOR, tuple(map(str, range(65)))),
        PersonOrder("bob", Role.AUDITOR, (), "short"),
        PersonOrder("bob", Role.AUDITOR, (), "b" * 12),
        PersonOrder("bob", Role.AUDITOR, (), "bob-is-the-one"),
        PersonOrder("bob", Role.AUDITOR, (), "a long password" * 20),
    ],
)
async def test_who_cannot_be_added(office, order):
    with pytest.raises(UsageError):
        await office.people.add(order, "test")
    assert [line.name for line in await office.people.list_("", 10)] == ["alice"]


async def test_a_name_is_taken_once_whatever_its_case(office):
    with pytest.raises(ConflictError):
        await office.people.add(PersonOrder("ALICE", Role.AUDITOR), "test")
    with pytest.raises(NotFoundError):
        await office.people.show("nobody")


async def test_people_are_paged_by_name(office):
    for name in ("carol", "bob"):
        await office.hire(name)
    assert [line.name for line in await office.people.list_("", 2)] == ["alice", "bob"]
    assert [line.name for line in await office.people.list_("bob", 2)] == ["carol"]


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ("people.change",)},
        {"scopes": ("no.such",)},
        {"scopes": ()},
        {"days": 0},
        {"days": MAX_DAYS + 1},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
    ],
)
async def test_tokens_that_are_not_made(office, change):
    order = replace(TokenOrder("alice", "t", ("read",), 1), **change)
    with pytest.raises(UsageError):
        await office.tokens.create(order, "test")
    assert await office.tokens.list_("", 10) == []


async def test_a_token_is_for_somebody_active(office):
    await office.people.disable("alice", "test")
    for name in ("alice", "nobody"):
        with pytest.raises(NotFoundError):
            await office.tokens.create(TokenOrder(name, "t", ("read",), 1), "test")


async def test_the_use_of_a_token_is_noted_by_the_day(office):
    made = await office.tokens.create(TokenOrder("alice", "t", ("read",), 2), "test")
    caller = await office.tokens.caller_of(Secret(made.token.encode()))
    assert (caller.name, caller.scopes, caller.credential) == ("alice", {"self", "read"}, made.line.id)
    first = (await office.tokens.list_("", 10))[0].used_at
    office.now += 60
    await office.tokens.caller_of(Secret(made.token.encode()))
    assert (await office.tokens.list_("", 10))[0].used_at == first == NOW
    office.now += DAY
    await office.tokens.caller_of(Secret(made.token.encode()))
    assert (await office.tokens.list_("", 10))[0].used_at == office.now


async def test_tokens_are_listed_by_person_and_page(office):
    await office.hire("bob")
    for name in ("alice", "alice", "bob"):
        await office.tokens.create(TokenOrder(name, "t", ("read",), 2), "test")
    assert [line.person for line in await office.tokens.list_("", 10, "bob")] == ["bob"]
    assert await office.tokens.list_("", 10, "nobody") == []
    first = await office.tokens.list_("", 2)
    assert len({line.id for line in first + await office.tokens.list_(first[-1].id, 2)}) == 3
    assert await office.tokens.list_("nonsense", 2) == []
    for gone in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFoundError):
            await office.tokens.revoke(gone, "test")
