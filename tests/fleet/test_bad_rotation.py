"""Rotations to something that does not work: the canary finds out, it pauses, and nobody misses a check-in."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import processes
from tests.support.rotation_fleet import Accessed, Site, accessed
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsServer, bad_passwords

from keyfast.agent.client_database import Record
from keyfast.wire.rotation import RotationView

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

FLEET = 100
CANARY = 3
ONLY_CANARY: dict[str, Any] = {"canary_percent": 25.0, "canary_most": CANARY}
WHILE_PAUSED = 3.0
"""Seconds that the fleet goes on for while nobody does anything."""
SETTLING = 10.0
"""Seconds after a pause for which a canary may still be asked to wait."""


class Story:
    """A site that remembers what every endpoint used before."""

    def __init__(self, site: Site) -> None:
        self.site, self.fleet = site, site.fleet
        self.before = self.access()
        self.events = site.server.last_event()

    def access(self) -> list[Accessed]:
        return [accessed(record) for record in self.fleet.records()]

    async def pauses_by_itself(self, rotation: str, *, deferred: str = "") -> RotationView:
        """The fleet checks in all the time until the rotation has paused, and on; nobody misses one.

        Refusals of the class ``deferred`` are no miss of a canary until then, nor while the server settles what it
        asked the canary to wait for, which takes seconds. Nobody misses one after that, and nobody else ever.
        """
        asked = set()
        for awhile in (self.site.pauses(rotation), asyncio.sleep(SETTLING if deferred else 0)):
            load = await self.fleet.under_load(awhile)
            assert [miss for miss in load.missed if not deferred or not miss.startswith(f"{deferred}:")] == []
            asked.update(load.who)
        assert len(asked) <= CANARY
        load = await self.fleet.under_load(asyncio.sleep(WHILE_PAUSED))
        assert load.missed == []
        assert load.check_ins > FLEET
        view = self.site.rotation(rotation)
        assert (view.state, view.targets) == ("canary", FLEET)
        told = self.site.server.events("rotation_paused", after=self.events)
        assert [line.detail["reason"] for line in told] == [view.paused]
        return view

    def only_the_canary_was_offered_it(self, view: RotationView) -> list[str]:
        """Whoever did not fetch it uses what it used. Return what the canary says of it."""
        first, *others = view.waves
        assert {state for wave in others for state in wave.states} == {"planned"}
        assert sum(first.states.values()) == CANARY
        touched = [record.change or record.watch for record in self.fleet.records()]
        assert 0 < sum(map(bool, touched)) <= CANARY
        assert all(now == then for now, then, has in zip(self.access(), self.before, touched, strict=True) if not has)
        return [line.detail for line in view.missing if line.state in {"failed", "reverted"}]

    async def is_undone(self, rotation: str) -> None:
        """``keyfast rotation roll-back``, under load; then everything is as it was."""
        self.site.act(rotation, "roll-back")
        load = await self.fleet.under_load(self.site.reached(rotation, "abandoned"))
        assert load.missed == []
        await self.as_before()

    async def as_before(self) -> None:
        self.fleet.restart()
        for _ in range(2):
            await self.fleet.check_in()
        assert {said.split()[0] for said in self.fleet.said()} == {"ok"}
        assert self.access() == self.before
        assert bad_passwords(self.site.account) == 0
        assert {line.state for line in self.site.server.endpoints(limit=1000)} == {"active"}


@pytest.fixture
async def story(kerberos: Domain, tmp_path: Path, account: Account) -> AsyncIterator[Story]:
    server = WindowsServer(tmp_path / "server", kerberos, interval=2)
    server.add_account(account)
    site = Site(server, account, FLEET, schemes=("",))
    await site.fleet.check_in()
    await site.fleet.until(lambda: all(enrolled(record) for record in site.fleet.records()), "everybody to be enrolled")
    yield Story(site)
    server.close()


def enrolled(record: Record) -> bool:
    return bool(record.receipt and not record.failures)


def nobody_listens(site: Site) -> dict[str, Any]:
    return {"urls": (f"https://localhost:{processes.free_port()}",)}


def another_authority(site: Site) -> dict[str, Any]:
    return {"ca": site.server.domain.ca.read_text()}


@pytest.mark.parametrize("wrong", [nobody_listens, another_authority])
async def test_an_address_that_does_not_work(story: Story, wrong: Callable[[Site], dict[str, Any]]):
    # 1. A new address with something wrong about it, offered to a canary.
    rotation = story.site.plan("address", mode="windows", **ONLY_CANARY, **wrong(story.site))
    # 2. The canary tries it, stays where it is and says why; the rotation pauses by itself.
    view = await story.pauses_by_itself(rotation)
    assert view.paused.endswith("changes failed"), view
    reasons = story.only_the_canary_was_offered_it(view)
    assert reasons
    assert all("localhost" in reason for reason in reasons), reasons
    # 3. Everybody still uses the old address.
    assert story.access() == story.before
    # 4. It is undone, and nobody has touched an endpoint.
    await story.is_undone(rotation)


async def test_a_password_that_is_changed_between_its_proof_and_the_canary(
    story: Story, make_account: Callable[[], Account]
):
    site, partner = story.site, make_account()
    site.server.add_account(partner)
    # 1. The target's password works when the rotation starts; somebody changes it before the canary has tried it.
    rotation = site.plan("account", source=site.account.logon, target=partner.logon, **ONLY_CANARY)
    await site.reached(rotation, "canary")
    changed(partner)
    # 2. Whoever fetched it is refused by the probe, stays where it is and says so; the rotation pauses by itself.
    view = await story.pauses_by_itself(rotation)
    assert "does not work any more" in view.paused or "failed" in view.paused, view
    reasons = story.only_the_canary_was_offered_it(view)
    assert all("refused" in reason for reason in reasons), reasons
    # 3. No account is near its lockout, nobody moved, and nobody keeps what did not work.
    assert bad_passwords(partner) <= CANARY
    assert (view.moved, story.access()) == (0, story.before)
    assert not any(record.change and record.change.account for record in story.fleet.records())
    # 4. It is undone, and nobody has touched an endpoint.
    await story.is_undone(rotation)


async def test_a_password_that_is_changed_while_the_canary_is_watched(
    story: Story, make_account: Callable[[], Account]
):
    site, partner = story.site, make_account()
    site.server.add_account(partner)
    rotation = site.plan("account", source=site.account.logon, target=partner.logon, **ONLY_CANARY)
    await site.reached(rotation, "canary")
    # 1. The canary uses the new account already when somebody changes its password.
    await story.fleet.until(lambda: site.rotation(rotation).moved == CANARY, "the canary to move")
    changed(partner)
    # 2. Whoever is refused goes back by itself in that very visit; the grace of the change keeps the others going.
    #    Between the first refusal and the reading that settles it, seconds later, the server lets nobody try and asks
    #    the canary to wait; these endpoints' clocks run ahead of that. The rotation pauses by itself.
    view = await story.pauses_by_itself(rotation, deferred="not_ready")
    assert "does not work any more" in view.paused or "went back" in view.paused, view
    story.only_the_canary_was_offered_it(view)
    assert bad_passwords(partner) <= CANARY
    # 3. It is undone, and nobody has touched an endpoint.
    await story.is_undone(rotation)


def changed(account: Account) -> None:
    """Change a password twice: for a while a domain still takes the one before for NTLM."""
    for new in ("Somebody-Else-1", "Somebody-Else-2"):
        account.domain.password(account.name, new)


async def test_a_password_that_is_wrong_from_the_beginning(story: Story, make_account: Callable[[], Account]):
    site, partner = story.site, make_account()
    site.server.add_account(partner)
    changed(partner)
    # 1. The rotation starts and finds out before anybody is offered anything.
    rotation = site.plan("account", source=site.account.logon, target=partner.logon, **ONLY_CANARY)
    load = await story.fleet.under_load(refused(site, rotation))
    assert load.missed == []
    view = site.rotation(rotation)
    assert (view.state, view.targets, view.moved) == ("prepared", 0, 0)
    assert partner.name in next(act.trouble for act in view.acts if act.trouble)
    assert not any(record.change or record.watch for record in story.fleet.records())
    # 2. It is abandoned, and everything is as it was.
    assert site.act(rotation, "abandon").state == "abandoned"
    await story.as_before()


async def test_a_good_address_misses_no_check_in(story: Story):
    site = story.site
    # 1. The server has a second URL, in its settings and in its certificate.
    url = also_reached_at(site.server, "127.0.0.1")
    # 2. The fleet moves there while it checks in all the time.
    rotation = site.plan("address", mode="windows", urls=(url,), **ONLY_CANARY)
    load = await story.fleet.under_load(site.reached(rotation, "draining"))
    assert load.missed == []
    assert load.check_ins > 2 * FLEET
    # 3. Only the URL is another one.
    assert {access.urls for access in story.access()} == {(url,)}
    assert {(access.account, access.generation) for access in story.access()} == {(site.account.name, 1)}
    # 4. It can be undone as well, under load.
    await story.is_undone(rotation)


async def refused(site: Site, rotation: str) -> None:
    """Wait until an act of a rotation has met trouble."""
    end = time.monotonic() + 60
    while not any(act.trouble for act in (await asyncio.to_thread(site.rotation, rotation)).acts):
        assert time.monotonic() < end, site.rotation(rotation)
        await asyncio.sleep(0.5)


def also_reached_at(server: WindowsServer, host: str) -> str:
    """Do as an administrator who gives the server another name: settings, certificate, restart. Return the URL."""
    url = f"https://{host}:{server.port}"
    server.close()
    file = server.data / "server.toml"
    text = file.read_text()
    file.write_text(text.replace(f'"{server.url}"', f'"{server.url}", "{url}"', 1))
    (server.settings.tls / "server.pem").unlink()
    server.start()
    return url
