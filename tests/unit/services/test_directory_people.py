"""People who come by an account of the directory, over a real store and a directory in memory."""

import asyncio
import os

import pytest
from msgspec.structs import replace
from tests.support.databases import KINDS, NOW, new_database
from tests.support.office import BERLIN, DORA, HOME, PASSWORD, PERSON, RIGHT, WRONG, Office, directory_office

from keyfast.core.caller import Caller, WayIn
from keyfast.core.directory import Logon
from keyfast.core.person import Session, SignInRefusal
from keyfast.core.person_groups import LOOK_EVERY
from keyfast.core.role import Permission, Role
from keyfast.core.secret import Secret
from keyfast.errors import ApprovalNeededError, ConflictError, ForbiddenError, NotFoundError, NotReadyError
from keyfast.services.approvals import ApprovalService, Wanted
from keyfast.services.directory_people import LOOK_SECONDS
from keyfast.services.sign_in import SignInService
from keyfast.store import events
from keyfast.store.database import Database
from keyfast.wire.people import PersonChange, PersonOrder, TokenOrder


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    return new_database(request.param, tmp_path)


@pytest.fixture
async def office(url):
    database = await Database.open(url)
    yield directory_office(database)
    await database.close()


async def told(office, *kinds):
    async with office.database.read() as conn:
        rows = await events.list_page(conn, endpoint_id=None, before=None, limit=1000)
    return [row.detail for row in reversed(rows) if row.kind in kinds]


async def test_whoever_is_in_a_group_is_in_and_on_record(office):
    session = await office.enter(DORA)
    assert (session.person.name, session.person.role, session.person.rings) == (PERSON, Role.OPERATOR, ("berlin",))
    line = await office.people.show(PERSON)
    assert (line.source, line.group, line.state, line.signed_in_at) == ("directory", "kf berlin", "active", NOW)
    assert await office.kinds() == ["person_added", "signed_in"]
    (detail,) = await told(office, "signed_in")
    assert (detail["person"], detail["way"]) == (PERSON, "directory")
    assert (await told(office, "person_added"))[0]["group"] == "kf berlin"


@pytest.mark.parametrize("typed", [DORA, " corp\\DORA ", "dora@corp.example.test", "Dora@CORP"])
async def test_every_way_to_write_it_is_one_person(office, typed):
    first, second = await office.enter(DORA), await office.enter(typed)
    assert first.person.id == second.person.id
    assert [line.name for line in await office.people.list_("", 9)] == [PERSON]


@pytest.mark.parametrize("typed", ["dora", "OTHER\\dora", "dora@other.test", "CORP\\"])
async def test_other_names_are_never_asked_about(office, typed):
    assert await office.enter(typed) == SignInRefusal()
    assert (office.directory.looks, office.directory.tried) == (0, [])


async def test_the_name_of_somebody_added_here_stays_here(office):
    await office.people.add(PersonOrder(PERSON, Role.AUDITOR, (), "another long password"), "test")
    assert await office.enter(PERSON) == SignInRefusal()
    assert (await office.enter(PERSON, Secret(b"another long password"))).person.role is Role.AUDITOR
    assert office.directory.looks == 0
    with pytest.raises(ForbiddenError, match="added here"):
        await office.enter(DORA)
    assert (await office.people.show(PERSON)).source == "local"


async def test_without_a_password_nothing_is_shown(office):
    assert await office.enter(DORA, Secret(b"")) == SignInRefusal()
    assert office.directory.tried == []


@pytest.mark.parametrize(
    ("change", "logon"),
    [
        ({"disabled": True}, Logon.DISABLED),
        ({"locked": True}, Logon.LOCKED),
        ({"expires_at": NOW - 1}, Logon.ACCOUNT_EXPIRED),
        ({"password_expired": True}, Logon.EXPIRED),
        ({"must_change": True}, Logon.MUST_CHANGE),
    ],
)
async def test_an_account_that_may_not_be_used_looks_like_a_wrong_password(office, change, logon):
    office.directory.alter("dora", **change)
    assert await office.directory.verify("dora", RIGHT) is logon
    assert await office.enter(DORA) == SignInRefusal()
    assert await office.enter("CORP\\nobody") == SignInRefusal()
    assert await office.people.list_("", 9) == []


async def test_a_member_of_no_group_is_nobody_and_hears_it_after_the_password_only(office):
    office.directory.hire("otto", PASSWORD)
    assert await office.enter("CORP\\otto", WRONG) == SignInRefusal()
    with pytest.raises(ForbiddenError, match="in none of the groups"):
        await office.enter("CORP\\otto")
    assert await office.people.list_("", 9) == []


async def test_the_role_is_written_anew_at_each_sign_in(office):
    token = await office.token(name=DORA)
    office.directory.groups["kf admins"].add("dora")
    assert (await office.enter(DORA)).person.role is Role.ADMINISTRATOR
    assert await office.sign_in.person_of(token) is None, "who is somebody else than before signs in anew"
    line = await office.people.show(PERSON)
    assert (line.role, line.rings, line.group) == ("administrator", (), "kf admins")
    assert [detail["by"] for detail in await told(office, "person_changed")] == ["directory"]


async def test_a_renamed_account_is_the_same_person(office):
    first = await office.enter(DORA)
    office.directory.rename("dora", "doris")
    renamed = await office.enter("CORP\\doris")
    assert (renamed.person.id, renamed.person.name) == (first.person.id, "doris@corp.example.test")
    (detail,) = await told(office, "person_renamed")
    assert (detail["person"], detail["formerly"]) == (renamed.person.name, PERSON)


async def test_a_new_account_of_an_old_name_is_somebody_else(office):
    first = await office.enter(DORA)
    office.directory.delete("dora")
    office.directory.hire("dora", PASSWORD, "kf admins")
    second = await office.enter(DORA)
    assert second.person.id != first.person.id
    assert [line.name for line in await office.people.list_("", 9)] == [PERSON, f"{PERSON}~1105"]
    assert await office.enter(f"{PERSON}~1105") == SignInRefusal()


async def test_who_is_put_out_of_the_groups_is_out_within_minutes(office):
    token = await office.token(name=DORA)
    made = await office.tokens.create(TokenOrder(PERSON, "t", ("endpoint.read",), 1), "test")
    office.directory.groups["kf berlin"].clear()
    looks = office.directory.looks
    office.now += LOOK_EVERY - 1
    assert (await office.sign_in.person_of(token)).person.name == PERSON
    assert office.directory.looks == looks, "not at every page"
    office.now += 1
    assert await office.sign_in.person_of(token) is None
    assert office.directory.looks == looks + 1
    assert await office.sessions.list_("", 9) == []
    assert await office.tokens.caller_of(Secret(made.token.encode())) is None
    with pytest.raises(NotFoundError):
        await office.tokens.create(TokenOrder(PERSON, "t", ("endpoint.read",), 1), "test")
    assert (await office.people.show(PERSON)).group == ""
    assert [detail["cause"] for detail in await told(office, "person_dropped")] == ["no group"]
    with pytest.raises(ForbiddenError):
        await office.enter(DORA)
    assert len(await told(office, "person_dropped")) == 1


async def test_who_is_put_back_is_back(office):
    await office.token(name=DORA)
    made = await office.tokens.create(TokenOrder(PERSON, "t", ("endpoint.read",), 1), "test")
    token = Secret(made.token.encode())
    office.directory.groups["kf berlin"].clear()
    office.now += LOOK_EVERY
    assert await office.tokens.caller_of(token) is None
    office.directory.groups["kf admins"].add("dora")
    office.now += LOOK_EVERY
    assert (await office.tokens.caller_of(token)).person.role is Role.ADMINISTRATOR
    assert (await office.enter(DORA)).person.role is Role.ADMINISTRATOR


@pytest.mark.parametrize("change", [{"disabled": True}, {"expires_at": NOW}])
async def test_whose_account_is_off_is_out_within_minutes(office, change):
    token = await office.token(name=DORA)
    office.directory.alter("dora", **change)
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(token) is None


@pytest.mark.parametrize("change", [{"locked": True}, {"password_expired": True}, {"must_change": True}])
async def test_a_lock_or_an_expired_password_sends_nobody_away(office, change):
    token = await office.token(name=DORA)
    office.directory.alter("dora", **change)
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(token) is not None


async def test_another_group_while_one_is_here(office):
    token = await office.token(name=DORA)
    office.directory.groups["kf admins"].add("dora")
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(token) is None
    assert (await office.enter(DORA)).person.role is Role.ADMINISTRATOR


async def test_many_pages_at_once_ask_once(office):
    token = await office.token(name=DORA)
    looks = office.directory.looks
    office.now += LOOK_EVERY
    assert None not in await asyncio.gather(*(office.sign_in.person_of(token) for _ in range(8)))
    assert office.directory.looks == looks + 1


async def test_an_outage_is_no_wrong_password_and_ends_no_session(office):
    token = await office.token(name=DORA)
    office.directory.down = {"dc1"}
    for _ in range(20):
        with pytest.raises(NotReadyError) as fault:
            await office.enter(DORA)
        assert "dc1" not in fault.value.message
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(token) is not None
    with pytest.raises(NotReadyError):
        await office.sign_in.prove_again(token, RIGHT, "")
    assert "sign_in_failed" not in await office.kinds()
    office.directory.down = set()
    assert isinstance(await office.enter(DORA), Session)


async def test_a_directory_that_hangs_holds_a_page_for_seconds_only(office, monkeypatch):
    async def hangs(*_, **__):
        await asyncio.Event().wait()

    token = await office.token(name=DORA)
    monkeypatch.setattr(office.directory, "member", hangs)
    monkeypatch.setattr("keyfast.services.directory_people.LOOK_SECONDS", 0.05)
    office.now += LOOK_EVERY
    async with asyncio.timeout(LOOK_SECONDS):
        assert await office.sign_in.person_of(token) is not None


async def test_a_second_factor_counts_for_them_too(office):
    await office.enter(DORA)
    shown = await office.authenticator(PERSON)
    await office.codes.confirm(PERSON, shown(NOW), "test")
    assert await office.enter(DORA) == SignInRefusal()
    office.now += 600
    assert await office.enter(DORA, code=shown(office.now), password=WRONG) == SignInRefusal()
    assert isinstance(await office.enter(DORA, code=shown(office.now)), Session)
    office.directory.groups["kf berlin"].clear()
    assert await office.enter(DORA) == SignInRefusal(), "without the code nothing is told of the password"


async def test_proving_again_asks_the_directory(office):
    token = await office.token(name=DORA)
    office.now += 200
    assert not await office.sign_in.prove_again(token, WRONG, "")
    assert await office.sign_in.prove_again(token, RIGHT, "")
    assert (await office.sign_in.person_of(token)).proved_at == NOW + 200
    office.directory.groups["kf berlin"].clear()
    assert not await office.sign_in.prove_again(token, RIGHT, "")
    assert await office.sign_in.person_of(token) is None


async def test_proving_again_as_somebody_else_is_proving_nothing(office):
    token = await office.token(name=DORA)
    office.directory.groups["kf admins"].add("dora")
    assert not await office.sign_in.prove_again(token, RIGHT, "")
    assert await office.sign_in.person_of(token) is None


async def test_a_passkey_lets_in_whom_the_directory_still_knows(office):
    person = (await office.enter(DORA)).person
    for change, there in (({}, True), ({"locked": True}, False), ({"locked": False, "disabled": True}, False)):
        office.directory.alter("dora", **change)
        session = await office.sign_in.admit_by_passkey(person.id, HOME)
        assert isinstance(session, Session) is there
    office.directory.down = {"dc1"}
    with pytest.raises(NotReadyError):
        await office.sign_in.admit_by_passkey(person.id, HOME)


async def test_an_identity_provider_vouches_for_nobody_of_the_directory(office):
    await office.enter(DORA)
    assert await office.sign_in.admit(PERSON, "sub-1", NOW, HOME) is None


async def test_nothing_of_theirs_is_changed_here(office):
    await office.enter(DORA)
    with pytest.raises(ConflictError) as fault:
        await office.people.change(PERSON, PersonChange(role=Role.ADMINISTRATOR), "test")
    assert "directory.group" in fault.value.repair
    with pytest.raises(ConflictError):
        await office.people.add(PersonOrder(PERSON, Role.AUDITOR), "test")


async def test_a_reset_takes_everything_and_needs_no_invitation(office):
    token = await office.token(name=DORA)
    told_once = await office.people.reset(PERSON, "test")
    assert (told_once.code, told_once.person.invited_until, told_once.person.source) == ("", 0, "directory")
    assert await office.sign_in.person_of(token) is None
    assert isinstance(await office.enter(DORA), Session)


async def test_whoever_is_switched_off_here_stays_out(office):
    await office.enter(DORA)
    await office.people.disable(PERSON, "test")
    assert await office.enter(DORA) == SignInRefusal()
    assert (await office.people.enable(PERSON, "test")).code == ""
    assert isinstance(await office.enter(DORA), Session)


async def test_without_groups_in_the_settings_they_are_nobody(office):
    token = await office.token(name=DORA)
    made = await office.tokens.create(TokenOrder(PERSON, "t", ("endpoint.read",), 1), "test")
    person = (await office.sign_in.person_of(token)).person
    without = Office(office.database)
    plain = SignInService(office.database, office.codes, office.passwords, office.clock, os.urandom)
    assert await without.tokens.caller_of(Secret(made.token.encode())) is None
    assert await plain.admit_by_passkey(person.id, HOME) is None
    assert await plain.begin(PERSON, RIGHT, "", HOME) == SignInRefusal()
    assert not await plain.prove_again(token, RIGHT, "")


async def test_a_name_that_cannot_be_a_persons_is_told(office):
    office.directory.hire("do ra", PASSWORD, "kf berlin")
    with pytest.raises(ForbiddenError, match="without spaces"):
        await office.enter("CORP\\do ra")


async def test_whoever_asks_for_a_second_person_is_none_under_another_name(office):
    office.directory.groups["kf admins"].add("dora")
    needed = Permission.KEY_MOVE
    desk = ApprovalService(office.database, lambda: office.kek, (needed,), office.clock, os.urandom)
    wanted = Wanted(needed, "POST /x", b"1" * 32, "because")
    asked = Caller((await office.enter(DORA)).person, WayIn.SESSION)
    with pytest.raises(ApprovalNeededError) as fault:
        await desk.demand(asked, wanted)
    office.directory.rename("dora", "doris")
    renamed = Caller((await office.enter("CORP\\doris")).person, WayIn.SESSION)
    with pytest.raises(ConflictError, match="second person"):
        await desk.decide(fault.value.approval, renamed, agrees=True)
    (line,) = await desk.list_("", 9)
    assert (line.asked_by, line.state) == ("doris@corp.example.test", "asked")


async def test_the_group_alone_changes_quietly(office):
    token = await office.token(name=DORA)
    office.there.groups = (replace(BERLIN, name="kf berlin 2"), BERLIN)
    office.directory.groups["kf berlin 2"] = {"dora"}
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(token) is not None
    assert (await office.people.show(PERSON)).group == "kf berlin 2"
    assert len(await told(office, "person_changed")) == 1
