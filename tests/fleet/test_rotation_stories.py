"""Rotations on a real domain, under load: a hundred endpoints that check in all the time, and none misses one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support import processes
from tests.support.rotation_fleet import Site
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = 100
OFFLINE = FLEET // 20


@pytest.fixture
async def site(kerberos: Domain, tmp_path: Path, account: Account) -> AsyncIterator[Site]:
    server = WindowsServer(tmp_path / "server", kerberos, interval=2)
    server.add_account(account)
    made = Site(server, account, FLEET, OFFLINE)
    await made.fleet.check_in()
    assert all(record.receipt for record in made.fleet.records()), made.fleet.said()
    yield made
    server.close()


async def test_a_planned_rotation_misses_no_check_in(site: Site, make_account: Callable[[], Account]):
    # 1. The pair's other account, with a password of its own.
    partner = make_account()
    site.server.add_account(partner)
    # 2. The rotation runs, wave by wave, while 95 % of the fleet check in all the time.
    rotation = site.plan("account", source=site.account.logon, target=partner.logon)
    load = await site.fleet.under_load(site.reached(rotation, "draining"), site.present)
    # 3. Nobody missed a check-in, and everybody who was there uses the other account.
    assert load.missed == []
    assert load.check_ins > 2 * len(site.present)
    assert {rig.agent.record.account_name for rig in site.present} == {partner.name}
    # 4. Those who were switched off come back later, by themselves, whatever became of the old account.
    site.account.state("disabled")
    site.server.check_account(site.account)
    await site.fleet.until(lambda: using(site.late, partner), "the late ones to be back", site.late)
    # 5. The old access is refused, and nobody is.
    site.fleet.restart()
    await site.fleet.until(lambda: site.rotation(rotation).moved == FLEET, "all to have moved")
    assert bad_passwords(partner) == 0


async def test_windows_to_oauth_misses_no_check_in_and_leaves_no_credential(site: Site):
    # 1. OAuth beside Windows Authentication; the fleet moves while it checks in all the time.
    rotation = site.plan("oauth", source=site.account.logon)
    load = await site.fleet.under_load(site.reached(rotation, "draining"))
    assert load.missed == []
    assert {rig.agent.record.mode for rig in site.fleet.rigs} == {"oauth"}
    # 2. Verified over a restart, the old access is refused ...
    await verified(site)
    await site.acted(rotation, "retire")
    refused = {"mode_closed", "retired_generation", "account_not_allowed"}
    processes.until(lambda: site.server.basic(site.account).kind in refused, "the old account to be refused")
    # 3. ... and erased: no endpoint holds a Windows credential.
    await site.acted(rotation, "finish")
    await site.fleet.until(lambda: not any(holds_password(record) for record in site.fleet.records()), "the erasing")
    # 4. All go on.
    await site.fleet.check_in()
    assert set(site.fleet.said()) == {"ok "}


def using(rigs: list[WindowsRig], account: Account) -> bool:
    return all(rig.agent.record.account_name == account.name and not rig.agent.record.failures for rig in rigs)


def holds_password(record) -> bool:
    return bool(record.account_password or record.previous_account or (record.change and record.change.account))


async def verified(site: Site) -> None:
    """Three check-ins and a restart."""
    for _ in range(3):
        await site.fleet.check_in()
    site.fleet.restart()
    await site.fleet.check_in()
    await site.fleet.check_in()
