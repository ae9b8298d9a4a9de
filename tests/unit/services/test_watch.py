"""The watch: what it records, what it tells, and that it never tries a password that could do harm."""

import asyncio

import pytest
from tests.support.databases import NOW

from keyfast.core.generation import GenerationState
from keyfast.core.logon import SPARE_TRIES
from keyfast.core.secret import Secret
from keyfast.services.watch import ASSUMED_THRESHOLD, MAX_TRIES, AccountWatch
from keyfast.store import accounts

S = GenerationState
KEY = "CORP\\svc-see"


def site_readings(site):
    return site.live.current.accounts[KEY].readings


async def states(site):
    return [row.state for row in await site.generations()]


async def changed_and_read(site):
    await site.add()
    await site.change()
    await site.read()


async def test_a_quiet_account_is_read_and_nothing_is_told_or_tried(site):
    await site.add()
    before = await site.events()
    site.directory.tried.clear()
    for _ in range(3):
        site.clock.now += 60
        await site.watch.tick()
    assert site.directory.tried == []
    assert await site.events() == before
    assert [found.read_at for found in site_readings(site)] == [NOW]
    await site.live.refresh()
    assert [found.read_at for found in site_readings(site)] == [NOW + 180]


async def test_a_changed_password_is_told_with_packages_endpoints_and_the_end_of_the_grace(site):
    await site.add()
    package = await site.package()
    await site.change()
    site.clock.now += 30
    await site.read()
    assert await site.events("account_password_changed") == [
        (
            "account_password_changed",
            {
                "account": KEY,
                "server": "dc1",
                "set_at": NOW + 10,
                "packages": [package],
                "endpoints": 3,
                "grace_ends_at": NOW + 10 + 3600,
            },
        )
    ]


async def test_a_changed_password_refuses_the_generation_after_one_try(site):
    await changed_and_read(site)
    (row,) = await site.generations()
    assert (row.state, row.grace_ends_at) == (S.REFUSED, NOW + 10 + 3600)
    assert await site.events("generation_refused") == [("generation_refused", {"account": KEY, "generation": 1})]
    tried = len(site.directory.tried)
    for _ in range(5):
        site.clock.now += 60
        await site.read()
    assert len(site.directory.tried) == tried


async def test_the_same_password_set_again_proves_the_generation(site):
    await site.add()
    await site.change("Old-Passw0rd")
    await site.read()
    (row,) = await site.generations()
    assert row.state is S.PROVEN
    assert row.password_stamp == row.seen_stamp == site_readings(site)[0].password_stamp
    assert [kind for kind, _ in await site.events()][-1] == "generation_proven"


async def test_a_restored_password_brings_the_generation_back(site):
    await changed_and_read(site)
    await site.change("Old-Passw0rd")
    await site.read()
    assert await states(site) == [S.PROVEN]


async def test_a_second_change_leaves_no_grace(site):
    await changed_and_read(site)
    await site.change("Third-Passw0rd")
    await site.read()
    (row,) = await site.generations()
    assert (row.state, row.grace_ends_at) == (S.REFUSED, 0)


async def test_only_the_newest_are_tried_however_many_are_in_question(site):
    for number in range(MAX_TRIES + 2):
        site.clock.now += 10
        await site.add(f"Passw0rd-{number}")
        await site.read()
    site.directory.tried.clear()
    await site.change("Unknown-Passw0rd")
    await site.read()
    tried = [password for _, _, password in site.directory.tried]
    assert tried == [f"Passw0rd-{number}".encode() for number in range(MAX_TRIES + 1, 1, -1)]


@pytest.mark.parametrize(
    ("threshold", "bad", "tries"),
    [
        (0, 1000, True),
        (5, 5 - SPARE_TRIES, True),
        (5, 6 - SPARE_TRIES, False),
        (SPARE_TRIES, 0, True),
        (SPARE_TRIES, 1, False),
        (2, 0, False),
        (1, 0, False),
        (None, ASSUMED_THRESHOLD - SPARE_TRIES, True),
        (None, ASSUMED_THRESHOLD - SPARE_TRIES + 1, False),
    ],
)
async def test_no_password_is_risked_near_the_lockout_threshold(site, threshold, bad, tries):
    await site.add()
    await site.change()
    site.directory.alter("svc-see", lockout_threshold=threshold, bad_passwords=bad)
    site.directory.tried.clear()
    await site.read()
    assert bool(site.directory.tried) is tries
    assert await states(site) == [S.REFUSED if tries else S.IN_QUESTION]


@pytest.mark.parametrize(
    "trouble", [{"disabled": True}, {"locked": True}, {"must_change": True}, {"password_expired": True}]
)
async def test_no_password_is_tried_while_the_account_would_refuse_the_right_one(site, trouble):
    await site.add()
    await site.change()
    site.directory.alter("svc-see", **trouble)
    site.directory.tried.clear()
    await site.read()
    assert site.directory.tried == []
    assert await states(site) == [S.IN_QUESTION]
    site.directory.alter("svc-see", **dict.fromkeys(trouble, False))
    await site.read()
    assert await states(site) == [S.REFUSED]


async def test_no_password_is_tried_before_every_domain_controller_has_the_change(site):
    site.directory.servers = ["dc1", "dc2"]
    await site.add()
    site.directory.lag("dc2", "svc-see")
    await site.change()
    site.directory.tried.clear()
    await site.read()
    assert (site.directory.tried, await states(site)) == ([], [S.IN_QUESTION])
    site.directory.lagging.clear()
    await site.read()
    assert await states(site) == [S.REFUSED]


async def test_a_directory_that_cannot_tell_yet_is_asked_again(site):
    await site.add()
    site.directory.unsure = True
    await site.change()
    await site.read()
    assert await states(site) == [S.IN_QUESTION]
    site.directory.unsure = False
    await site.read()
    assert await states(site) == [S.REFUSED]


async def test_an_outage_is_told_once_and_is_no_verdict(site):
    await site.add()
    site.directory.down = {"dc1"}
    for _ in range(3):
        await site.read()
    assert [kind for kind, _ in await site.events("directory_unreachable")] == ["directory_unreachable"]
    assert await states(site) == [S.PROVEN]
    assert site.live.current.accounts[KEY].unusable(NOW) is None
    site.directory.down = set()
    await site.read()
    assert [kind for kind, _ in await site.events()][-1] == "directory_reachable"


async def test_a_domain_controller_that_is_no_longer_configured_is_forgotten(site):
    site.directory.servers = ["dc1", "dc2"]
    await site.add()
    site.directory.alter("svc-see", locked=True)
    site.directory.lag("dc2", "svc-see")
    site.directory.alter("svc-see", locked=False)
    await site.read()
    site.directory.servers = ["dc1"]
    for _ in range(3):
        await site.read()
    assert [kind for kind, _ in await site.events("account_repaired")] == ["account_repaired"]
    assert [found.server for found in site_readings(site)] == ["dc1"]


async def test_expiries_are_told_through_restarts_of_the_watch(site):
    await site.add()
    end = NOW + 20 * 86_400
    site.directory.alter("svc-see", password_expires_at=end)
    while site.clock.now < end + 86_400:
        site.clock.now += 43_200
        again = AccountWatch(site.database, site.directory, lambda: site.kek, site.clock)
        await again.tick()
    told = [(kind, detail.get("days")) for kind, detail in await site.events("account_expires", "account_expired")]
    assert told == [
        ("account_expires", 30),
        *(("account_expires", days) for days in (14, 7, 1)),
        ("account_expired", None),
    ]


async def test_an_account_is_read_each_interval_and_at_once_when_somebody_asks(site):
    await site.add()
    await site.watch.tick()
    reads = site.directory.reads
    await site.watch.tick()
    assert site.directory.reads == reads
    async with site.database.write() as conn:
        await accounts.ask(conn, KEY, now=int(site.clock.now))
    site.clock.now += 2
    await site.watch.tick()
    assert site.directory.reads == reads + 1
    site.clock.now += 60
    await site.watch.tick()
    assert site.directory.reads == reads + 2


async def test_whatever_goes_wrong_the_watch_goes_on(site):
    await site.add()
    faults = []
    broken = asyncio.Event()

    async def read(name):
        raise RuntimeError("a library's own fault")

    site.directory.read = read

    def failed(cause):
        faults.append(cause)
        site.clock.now += 60
        if len(faults) == 2:
            broken.set()

    following = asyncio.create_task(site.watch.follow(failed))
    site.clock.now += 60
    await asyncio.wait_for(broken.wait(), 30)
    following.cancel()
    assert {type(fault) for fault in faults} == {RuntimeError}


async def test_the_password_is_sealed_at_rest(site):
    await site.add("Very-Secret-Passw0rd")
    (row,) = await site.generations()
    assert "Very-Secret-Passw0rd" not in repr(row)
    for file in site.settings.data.rglob("*"):
        assert not file.is_file() or b"Very-Secret-Passw0rd" not in file.read_bytes()
    opened = site.kek.open(row.password_sealed, bound_to=f"credential_generation/{KEY}/1")
    assert opened.same(Secret(b"Very-Secret-Passw0rd"))
