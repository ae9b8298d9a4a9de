"""Rotations on a real domain, under load: a hundred endpoints that check in all the time, and none misses one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.fleet import RigFleet
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords

from keyfast.errors import KeyfastError
from keyfast.wire.rotation import RotationOrder, RotationView

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = 100
OFFLINE = FLEET // 20
SCHEMES = ("Negotiate", "NTLM", "Basic")
QUICK = {"soak_s": 1, "drain_s": 1, "refused_s": 1, "backup_s": 1, "active_s": 15, "canary_most": 3}
"""Seconds instead of months; whoever was not seen for a quarter of a minute comes late."""


class Site:
    """A server with a fleet in Windows mode, led at the command line."""

    def __init__(self, server: WindowsServer, account: Account) -> None:
        self.server, self.account = server, account
        bundle = server.windows_bundle(account)
        rigs = [server.rig(bundle, number, only=SCHEMES[number % len(SCHEMES)]) for number in range(FLEET)]
        self.fleet = RigFleet(rigs)
        self.late, self.present = rigs[:OFFLINE], rigs[OFFLINE:]

    def plan(self, kind: str, **members: Any) -> str:
        """``keyfast rotation plan`` and ``start``; return its id."""
        order = RotationOrder(kind, **(QUICK | members))
        made = self.server.admin.post("/admin/v1/rotations", RotationView, order).id
        self.act(made, "start")
        return made

    def act(self, rotation: str, act: str) -> RotationView:
        return self.server.admin.post(f"/admin/v1/rotations/{rotation}/{act}", RotationView)

    async def acted(self, rotation: str, act: str, seconds: float = 120) -> None:
        """Take a step as soon as nothing stands against it, and have it carried out."""
        for _ in range(int(seconds)):
            try:
                await asyncio.to_thread(self.act, rotation, act)
                break
            except KeyfastError as fault:
                why = fault.message
            await self.fleet.visit()
            await asyncio.sleep(1)
        else:
            raise AssertionError(f"{act}: {why}")
        for _ in range(int(seconds)):
            if all(done.done_at for done in (await asyncio.to_thread(self.rotation, rotation)).acts):
                return
            await asyncio.sleep(1)
        raise AssertionError(self.rotation(rotation).acts)

    def rotation(self, rotation: str) -> RotationView:
        return self.server.admin.get(f"/admin/v1/rotations/{rotation}", RotationView)

    async def reached(self, rotation: str, state: str, *, seconds: float = 240) -> RotationView:
        """Wait until a rotation is in a phase, while the fleet goes on."""
        for _ in range(int(seconds / 0.5)):
            view = await asyncio.to_thread(self.rotation, rotation)
            if view.state == state:
                return view
            assert not view.paused, view
            await asyncio.sleep(0.5)
        raise AssertionError(f"{state} is awaited: {view}")


@pytest.fixture
async def site(kerberos: Domain, tmp_path: Path, account: Account) -> AsyncIterator[Site]:
    server = WindowsServer(tmp_path / "server", kerberos, interval=2)
    server.add_account(account)
    made = Site(server, account)
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
    refused = site.server.basic(site.account)
    assert refused.kind in {"mode_closed", "retired_generation", "account_not_allowed"}, refused
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
