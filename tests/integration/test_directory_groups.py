"""Which groups an account is in, asked of a real domain controller."""

import itertools
import time

import pytest
from tests.support.samba import READER_PASSWORD

from keyfast.core.account import unusable
from keyfast.core.directory import Logon
from keyfast.core.person_groups import Loss, loss
from keyfast.core.secret import Secret
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.settings import DirectorySettings, SimpleReader
from keyfast.errors import NotReadyError

READER = SimpleReader("CORP\\svc-reader", Secret(READER_PASSWORD.encode()))
_numbers = itertools.count(1)


@pytest.fixture
async def directory(ad):
    made = ActiveDirectory(DirectorySettings("CORP", (ad.ldaps_url,), READER, ad.ca), time.time)
    yield made
    await made.close()


@pytest.fixture
def group(ad):
    """Make a group of a name of its own with members; returns name and distinguished name."""

    def make(*members):
        name = f"kf group {next(_numbers)}"
        return name, ad.add_group(name, *members)

    return make


async def test_a_group_is_named_by_its_logon_name_or_its_distinguished_name(directory, account, group):
    (first, _), (_, second), (third, _) = group(account.name), group(account.name), group()
    member = await directory.member((first, second.upper(), third), name=account.name.upper())
    assert member.groups == {first, second.upper()}
    assert member.unknown == frozenset()
    assert (member.reading.exists, member.reading.name) == (True, account.name)
    assert member.sid == account.read()["objectSid"][0]


async def test_groups_within_groups_count(directory, account, group):
    inner, _ = group(account.name)
    middle, _ = group(inner)
    outer, _ = group(middle)
    assert (await directory.member((outer,), name=account.name)).groups == {outer}


async def test_the_primary_group_counts(ad, directory, account, group):
    primary, _ = group(account.name)
    rid = ad.read(primary)["objectSid"][0].rpartition("-")[2]
    ad.modify(account.name, primaryGroupID=rid)
    assert primary not in str(account.read().get("memberOf", "")), "the attribute that lacks it"
    held = await directory.member((primary, "Domain Users"), name=account.name)
    assert held.groups == {primary, "Domain Users"}


async def test_everybody_is_in_the_domains_users(directory, account):
    assert (await directory.member(("Domain Users",), name=account.name)).groups == {"Domain Users"}


@pytest.mark.parametrize("name", ["no such group", "CN=gone,DC=corp", "nonsense=", "=", "*", "a)(b=*", "alice"])
async def test_a_group_that_is_none_has_no_members(directory, account, group, name):
    real, _ = group(account.name)
    member = await directory.member((name, real), name=account.name)
    assert (member.groups, member.unknown) == ({real}, {name})


@pytest.mark.parametrize("name", ["nobody", "*", "", "user*", "a)(objectClass=*", "\0"])
async def test_a_name_that_is_nobodys_is_no_account(directory, name):
    member = await directory.member(("Domain Users",), name=name)
    assert (member.reading.exists, member.sid, member.groups, member.unknown) == (False, "", frozenset(), frozenset())


async def test_an_account_is_found_by_its_identifier_whatever_it_is_called_now(ad, directory, account):
    sid = (await directory.member((), name=account.name)).sid
    renamed = f"{account.name}-x"
    ad.rename(account.name, renamed)
    assert (await directory.member((), sid=sid)).reading.name == renamed
    ad.delete_user(renamed)
    assert not (await directory.member((), sid=sid)).reading.exists
    ad.add_user(account.name, account.password)
    assert (await directory.member((), name=account.name)).sid != sid
    assert not (await directory.member((), sid="S-1-5-nonsense")).reading.exists


@pytest.mark.parametrize(
    ("state", "why", "lost"),
    [
        ("ok", None, None),
        ("disabled", Logon.DISABLED, Loss.DISABLED),
        ("account-expired", Logon.ACCOUNT_EXPIRED, Loss.EXPIRED),
        ("expired", Logon.EXPIRED, None),
        ("must-change", Logon.MUST_CHANGE, None),
        ("locked", Logon.LOCKED, None),
        ("deleted", Logon.WRONG_PASSWORD, Loss.MISSING),
    ],
)
async def test_states_are_read_with_it(directory, account, group, state, why, lost):
    account.state("ok")
    name, _ = group(account.name)
    account.state(state)
    member = await directory.member((name,), name=account.name)
    now = int(time.time())
    assert unusable(member.reading, now) is why
    assert loss(member, object(), now) is lost
    assert member.groups == (set() if state == "deleted" else {name})


async def test_asking_never_counts_as_a_wrong_password(directory, account, group):
    name, _ = group(account.name)
    for _ in range(7):
        await directory.member((name,), name=account.name)
    assert account.read().get("badPwdCount", ["0"]) == ["0"]


async def test_nobody_there_is_not_ready(ad):
    gone = ActiveDirectory(DirectorySettings("CORP", ("ldaps://127.0.0.1:1",), READER, ad.ca), time.time)
    with pytest.raises(NotReadyError):
        await gone.member(("Domain Users",), name="alice")
    await gone.close()
