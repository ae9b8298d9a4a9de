"""Accounts: nothing is put on record, or into a package, that does not authenticate now."""

import itertools

import pytest
from sqlalchemy import update
from tests.support.databases import NOW

from keyfast.core.directory import Group
from keyfast.core.generation import GenerationState
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, NotReadyError, UsageError
from keyfast.services.account import FATAL, NEVER
from keyfast.store.tables import enrolment_token

KEY = "CORP\\svc-see"
PASSWORD = Secret(b"Old-Passw0rd")
ADMINS = Group("S-1-5-21-1-2-3-512", "CN=Domain Admins,CN=Users,DC=corp")
TROUBLES = {
    "disabled": {"disabled": True},
    "locked": {"locked": True},
    "account_expired": {"expires_at": NOW},
    "expired": {"password_expired": True, "never_expires": False},
    "must_change": {"must_change": True},
    "over_privileged": {"groups": (ADMINS,)},
}


async def test_an_account_is_proven_once_and_put_on_record(site):
    await site.add()
    (row,) = await site.generations()
    assert (row.generation, row.state, row.judged_at) == (1, GenerationState.PROVEN, NOW)
    assert [how for how, _, _ in site.directory.tried] == ["prove"]
    assert [kind for kind, _ in await site.events("account_added")] == ["account_added"]
    assert KEY in site.live.current.accounts


@pytest.mark.parametrize(
    "name", ["svc-see", "SVC-SEE", "CORP\\svc-see", "corp\\Svc-See", "svc-see@corp", "svc-see@corp.example.test"]
)
async def test_however_it_is_named_it_is_one_account(site, name):
    site.directory.accounts = {}
    site.directory.set_password("svc-see", "Old-Passw0rd")
    site.directory.accounts[name.partition("@")[0].rpartition("\\")[2]] = site.directory.accounts["svc-see"]
    assert (await site.accounts.add(name, PASSWORD, (), "admin")).account == KEY
    assert (await site.accounts.check(name)).account == KEY


@pytest.mark.parametrize("name", ["", "CORP\\", "OTHER\\svc-see", "svc-see@other.test", "@corp"])
async def test_accounts_of_other_domains_and_no_names_are_not_taken(site, name):
    with pytest.raises(UsageError, match="names no account of the domain CORP"):
        await site.accounts.add(name, PASSWORD, (), "admin")


@pytest.mark.parametrize("condition", TROUBLES)
async def test_an_account_in_trouble_is_only_taken_by_name_of_its_trouble(site, condition):
    site.directory.set_password("svc-see", "Old-Passw0rd")
    site.directory.alter("svc-see", **TROUBLES[condition])
    for despite in ((), ("bad_passwords",)):
        with pytest.raises(UsageError) as refused:
            await site.accounts.add(KEY, PASSWORD, despite, "admin")
        assert f"--despite {condition}" in refused.value.repair
    assert site.directory.tried == []
    if condition == "over_privileged":
        assert (await site.accounts.add(KEY, PASSWORD, (condition,), "admin")).condition == condition
        return
    with pytest.raises(ConflictError):  # the directory has the last word
        await site.accounts.add(KEY, PASSWORD, (condition,), "admin")
    assert await site.generations() == []


def test_every_trouble_is_in_the_table():
    assert {condition.value for condition in FATAL - NEVER} == set(TROUBLES)


@pytest.mark.parametrize("despite", [(), ("missing", "unreadable")])
async def test_what_is_not_there_or_cannot_be_read_is_never_taken(site, despite):
    with pytest.raises(UsageError):
        await site.accounts.add("nobody", PASSWORD, despite, "admin")
    site.directory.set_password("svc-see", "Old-Passw0rd")
    site.directory.down = {"dc1"}
    with pytest.raises(NotReadyError):
        await site.accounts.add(KEY, PASSWORD, despite, "admin")
    assert site.directory.tried == []


async def test_a_wrong_password_puts_nothing_on_record(site):
    site.directory.set_password("svc-see", "Old-Passw0rd")
    with pytest.raises(ConflictError, match="refuses the account's password"):
        await site.accounts.add(KEY, Secret(b"Wrong"), (), "admin")
    assert await site.generations() == []
    assert await site.accounts.list_() == []


async def test_a_new_password_is_a_new_generation(site):
    await site.add()
    await site.change()
    await site.add("New-Passw0rd")
    rows = await site.generations()
    assert [(row.generation, row.state) for row in rows] == [
        (1, GenerationState.REFUSED),
        (2, GenerationState.PROVEN),
    ]
    assert (await site.accounts.list_())[0].generation == 2


async def test_the_view_says_who_enrolled_with_what(site):
    await site.add()
    package = await site.package()
    await site.change()
    view = await site.accounts.check(KEY)
    assert (view.condition, [line.endpoints for line in view.generations]) == ("changed", [3])
    (finding,) = [found for found in view.findings if found.condition == "changed"]
    assert finding.packages == (package,)
    assert "3" in finding.meaning
    (line,) = await site.accounts.list_()
    assert (line.condition, line.endpoints) == ("changed", 3)


async def test_history_is_newest_first_and_of_changes_only(site):
    await site.add()
    for _ in range(3):
        site.clock.now += 60
        await site.read()
    await site.change()
    await site.read()
    told = await site.accounts.history(KEY, 9)
    assert [change.read_at for change in told] == [int(site.clock.now), NOW]


@pytest.mark.parametrize("verb", ["check", "history", "embeddable", "remove"])
async def test_what_is_not_on_record_is_not_found(site, verb):
    site.directory.set_password("svc-see", "Old-Passw0rd")
    further = {"check": (), "history": (9,), "embeddable": (), "remove": ("admin",)}[verb]
    with pytest.raises(NotFoundError):
        await getattr(site.accounts, verb)(KEY, *further)
    with pytest.raises(NotFoundError):
        await site.accounts.show(KEY)


async def test_a_package_gets_the_newest_password_that_works(site):
    await site.add()
    embedded = await site.accounts.embeddable("svc-see")
    assert (embedded.domain, embedded.name, embedded.password, embedded.generation) == (
        "CORP",
        "svc-see",
        "Old-Passw0rd",
        1,
    )
    assert "Passw0rd" not in repr(embedded)


async def test_a_package_never_gets_a_password_that_was_changed_and_none_is_tried_for_it(site):
    await site.add()
    await site.change()
    await site.read()
    site.directory.tried.clear()
    with pytest.raises(ConflictError, match="its password was changed"):
        await site.accounts.embeddable(KEY)
    assert site.directory.tried == []


async def test_a_package_is_not_built_while_the_account_does_not_work(site):
    await site.add()
    site.directory.alter("svc-see", disabled=True)
    with pytest.raises(ConflictError, match="disabled"):
        await site.accounts.embeddable(KEY)


async def test_an_account_in_use_is_not_removed(site):
    await site.add()
    await site.package()
    with pytest.raises(ConflictError, match="3 endpoints of 1 packages"):
        await site.accounts.remove(KEY, "admin")
    await site.live.refresh()
    assert KEY in site.live.current.accounts


async def test_a_removed_account_is_off_the_record_and_its_numbers_are_not_used_again(site):
    await site.add()
    await unused_package(site)
    await site.accounts.remove(KEY, "admin")
    await site.live.refresh()
    assert KEY not in site.live.current.accounts
    assert [kind for kind, _ in await site.events("account_removed")] == ["account_removed"]
    await site.add()
    assert [row.generation for row in await site.generations()] == [2]


async def unused_package(site):
    await site.package()
    async with site.database.write() as conn:
        await conn.execute(update(enrolment_token).values(uses=0))


@pytest.mark.parametrize(("down", "lags"), list(itertools.product((0, 1, 2), (False, True))))
async def test_an_account_is_unusable_only_if_every_domain_controller_says_so(site, down, lags):
    site.directory.servers = ["dc1", "dc2", "dc3"]
    await site.add()
    if lags:
        site.directory.lag("dc1", "svc-see")
    site.directory.alter("svc-see", disabled=True)
    site.directory.down = {f"dc{number + 2}" for number in range(down)}
    await site.read()
    known = site.live.current.accounts[KEY]
    heard_good = lags or down > 0  # what was read before an outage holds until something else is read
    assert (known.unusable(NOW) is None) is heard_good
    assert known.standing(1, NOW).unusable is known.unusable(NOW)
    assert known.standing(9, NOW).state is None
