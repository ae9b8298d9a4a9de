"""A server that was restored from a backup older than a rotation and than three in ten enrolments: all come back.

Nobody touches an endpoint, and nothing is destroyed before an operator says that the recovery is over.
"""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import processes
from tests.support.device import read_bundle
from tests.support.fleet import RigFleet
from tests.support.samba import Account, Domain
from tests.support.server import RunningServer
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords, kinit

from keyfast.wire.admin import Changed, EventLine, Installation, KeyLine, PackageLine
from keyfast.wire.bundle import Bundle
from keyfast.wire.rotation import RotationOrder, RotationView

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

FLEET = 100
BEFORE = FLEET * 7 // 10
"""Endpoints that the backup knows."""
FEW = 4
"""Endpoints of an earlier rotation, whose old access is refused and not destroyed yet at the backup."""
OFFLINE = 4
SCHEMES = ("Negotiate", "NTLM", "Basic")
QUICK = {
    "canary_percent": 60,
    "canary_most": 100,
    "soak_s": 1,
    "drain_s": 1,
    "refused_s": 1,
    "backup_s": 1,
    "active_s": 15,
    "restart_proof": False,
}
HELD_BACK = "restored from a backup"


class Disaster:
    """A server, its backup, and the restore."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self._database, self._copy = server.data / "keyfast.db", folder / "backup.db"

    def back_up(self) -> None:
        """Copy the database while the server runs."""
        with (
            contextlib.closing(sqlite3.connect(self._database)) as source,
            contextlib.closing(sqlite3.connect(self._copy)) as copy,
        ):
            source.backup(copy)

    def lose_and_restore(self) -> None:
        """The server dies, its database is lost, and the backup is put in its place."""
        self.server.kill()
        for lost in self._database.parent.glob(f"{self._database.name}*"):
            lost.unlink()
        shutil.copyfile(self._copy, self._database)
        self.server.start()

    def keyfast(self, *arguments: str, code: int = 0) -> str:
        """Run a command; return all that it says."""
        done = processes.run("keyfast.cli.main", *arguments, "--data", str(self.server.data))
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return " ".join((done.stdout + done.stderr).split())

    def events(self, kind: str) -> list[EventLine]:
        """Events of one kind."""
        rows = self.server.admin.get("/admin/v1/events", list[EventLine], {"limit": 1000})
        return [row for row in rows if row.kind == kind]

    def epoch(self) -> int:
        """The installation's epoch, as the admin process knows it."""
        return self.server.admin.get("/admin/v1/installation", Installation).epoch

    def known(self) -> set[str]:
        """Ids of every endpoint on record."""
        return {line.id for line in self.server.endpoints(limit=1000)}


class Leader:
    """Leads rotations while the fleet goes on."""

    def __init__(self, server: WindowsServer, fleet: RigFleet) -> None:
        self._server, self._fleet = server, fleet

    def begin(self, source: Account, target: Account) -> str:
        """Plan an account rotation and start it; return its id."""
        order = RotationOrder("account", source=source.logon, target=target.logon, **QUICK)
        made = self._server.admin.post("/admin/v1/rotations", RotationView, order).id
        self._server.admin.post(f"/admin/v1/rotations/{made}/start", RotationView)
        return made

    def show(self, rotation: str) -> RotationView:
        return self._server.admin.get(f"/admin/v1/rotations/{rotation}", RotationView)

    async def until(self, rotation: str, done: Callable[[RotationView], bool], rigs: list[WindowsRig]) -> None:
        """Let everybody of these visit until a rotation is so far."""
        for _ in range(60):
            view = await asyncio.to_thread(self.show, rotation)
            if done(view):
                return
            assert not view.paused, view
            await self._fleet.visit(rigs)
            await asyncio.sleep(0.3)
        raise AssertionError(view)


def at(state: str) -> Callable[[RotationView], bool]:
    return lambda view: view.state == state and all(act.done_at for act in view.acts)


def may(step: str) -> Callable[[RotationView], bool]:
    """Nothing stands against a step."""
    return lambda view: any(found.step == step and not found.against for found in view.steps)


def well(rigs: list[WindowsRig]) -> bool:
    return all(not rig.agent.record.failures and not rig.agent.record.trouble for rig in rigs)


@pytest.fixture
async def windows(kerberos: Domain, tmp_path: Path) -> AsyncIterator[WindowsServer]:
    server = WindowsServer(tmp_path / "server", kerberos, interval=2)
    yield server
    server.close()


async def test_all_return_to_a_server_that_went_back_in_time(
    windows: WindowsServer, make_account: Callable[[], Account], tmp_path: Path
):
    former, account, partner = make_account(), make_account(), make_account()
    for each in (former, account, partner):
        windows.add_account(each)

    def rigs(bundle: Bundle, numbers: range) -> list[WindowsRig]:
        return [windows.rig(bundle, number, only=SCHEMES[number % len(SCHEMES)]) for number in numbers]

    # 1. Seven tenths of the fleet check in; an earlier rotation has come to where its old account is refused.
    few = rigs(windows.windows_bundle(former), range(FEW))
    fleet = RigFleet(few + rigs(windows.windows_bundle(account), range(FEW, BEFORE)))
    disaster, leader = Disaster(windows, tmp_path), Leader(windows, fleet)
    await fleet.check_in()
    earlier = leader.begin(former, account)
    await leader.until(earlier, may("retired"), few)
    disaster.keyfast("rotation", "retire", earlier)
    await leader.until(earlier, at("refused"), few)
    # 2. A backup is made while all check in.
    await asyncio.gather(fleet.check_in(), asyncio.to_thread(disaster.back_up))
    # 3. The other three tenths enrol.
    later = rigs(windows.windows_bundle(account), range(BEFORE, FLEET))
    fleet.rigs += later
    await fleet.check_in(later)
    ids = {rig.agent.record.endpoint_id for rig in fleet.rigs}
    assert len(ids) == FLEET
    assert well(fleet.rigs), fleet.said()
    # 4. All but some move to the partner, whose password was changed since the backup.
    partner = replace(partner, password=f"{partner.password}-Newer")
    windows.domain.password(partner.name, partner.password)
    windows.add_account(partner)
    off, others = fleet.rigs[-OFFLINE:], fleet.rigs[:-OFFLINE]
    await leader.until(leader.begin(account, partner), at("draining"), others)
    await fleet.until(lambda: using(others, partner, 2), "the others to use the partner", others)
    assert using(off, account, 1)
    epoch = disaster.epoch()
    # 5. The server is lost, and is restored from the backup. It knows neither the later ones nor the password.
    disaster.lose_and_restore()
    assert disaster.known() == {rig.agent.record.endpoint_id for rig in fleet.rigs[:BEFORE]}
    # 6. Everybody comes back by themselves, as who they were, whichever account they use then.
    await fleet.until(lambda: well(fleet.rigs) and disaster.known() == ids, "all to be back")
    await fleet.check_in()
    assert well(fleet.rigs), fleet.said()
    assert {rig.agent.record.endpoint_id for rig in fleet.rigs} == ids
    assert len(disaster.events("endpoint_readopted")) == FLEET - BEFORE
    # Who had moved uses the partner still, which this server knows nothing of; the others use what they had. Both are
    # accounts of the directory, and it takes the very passwords that endpoints hold.
    assert using(others, partner, 2)
    assert using(off, account, 1)
    for holders, owner in ((others, partner), (off, account)):
        (password,) = {rig.agent.record.account_password for rig in holders}
        assert kinit(owner, tmp_path / "ticket", password), f"the directory refuses {owner.name}"
    # 7. Whoever looks is told that the server went back in time, and it has gone ahead of all that was heard of it.
    assert disaster.events("server_went_back")
    processes.until(lambda: disaster.epoch() > epoch, "the admin process to know the new epoch")
    assert "went back in time" in disaster.keyfast("endpoint", "list")
    # 8. Nothing is destroyed, and the reason is said.
    assert HELD_BACK in disaster.keyfast("rotation", "finish", earlier, code=1)
    assert disaster.server.admin.get("/admin/v1/rotations/" + earlier, RotationView).state == "refused"
    # 9. The operator puts the partner's password on record again, under a number above all that endpoints hold, sees
    #    that all are there, and ends the recovery.
    assert windows.add_account(partner).generations[-1].generation == 3
    disaster.keyfast("server", "end-recovery")
    assert "went back in time" not in disaster.keyfast("endpoint", "list")
    # 10. What was held back works again ...
    disaster.keyfast("rotation", "finish", earlier)
    await leader.until(earlier, at("done"), few)
    # 11. ... and the rotation that the backup did not know is done again, for those who have not moved.
    await leader.until(leader.begin(account, partner), may("retired"), fleet.rigs)
    await fleet.until(lambda: using(fleet.rigs, partner, 3), "all to use the partner")
    fleet.restart()
    await fleet.check_in()
    assert well(fleet.rigs), fleet.said()
    assert bad_passwords(partner) == bad_passwords(account) == 0


def using(rigs: list[WindowsRig], account: Account, generation: int) -> bool:
    records = [rig.agent.record for rig in rigs]
    return all((held.account_name, held.credential_generation) == (account.name, generation) for held in records)


@pytest.fixture
def oauth(tmp_path: Path) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path / "server")
    yield server
    server.close()


async def test_all_return_by_oauth_though_package_and_token_keys_are_gone(oauth: RunningServer, tmp_path: Path):
    def rigs(line: PackageLine, numbers: range) -> list[WindowsRig]:
        return [WindowsRig(read_bundle(line.path), number) for number in numbers]

    # 1. Seven tenths enrol; a backup is made; the package is revoked, and three tenths enrol with another.
    first = oauth.package(max_uses=FLEET)
    fleet, disaster = RigFleet(rigs(first, range(BEFORE))), Disaster(oauth, tmp_path)
    await fleet.check_in()
    disaster.back_up()
    oauth.admin.post(f"/admin/v1/packages/{first.id}/revoke", Changed)
    fleet.rigs += rigs(oauth.package(max_uses=FLEET), range(BEFORE, FLEET))
    # 2. The keys of tokens are rotated twice, so that the backup verifies no token that is in use.
    for _ in range(2):
        oauth.admin.post("/admin/v1/keys/rotate", list[KeyLine], {"role": "token"})
    await fleet.check_in()
    assert well(fleet.rigs), fleet.said()
    ids = {rig.agent.record.endpoint_id for rig in fleet.rigs}
    # 3. The server is lost and restored, and what was revoked is revoked again.
    disaster.lose_and_restore()
    oauth.admin.post(f"/admin/v1/packages/{first.id}/revoke", Changed)
    # 4. Everybody comes back by themselves, as who they were, and goes on after a restart.
    await fleet.until(lambda: well(fleet.rigs) and disaster.known() == ids, "all to be back")
    fleet.restart()
    await fleet.check_in()
    assert well(fleet.rigs), fleet.said()
    assert {rig.agent.record.endpoint_id for rig in fleet.rigs} == ids
    assert len(disaster.events("endpoint_readopted")) == FLEET - BEFORE
