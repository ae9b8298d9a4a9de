"""A real server in front of a real domain, with a console over TLS, and two hundred agents that it manages."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2
from tests.support import processes, roll_call
from tests.support.device import read_bundle
from tests.support.fleet import RigFleet
from tests.support.rotation_fleet import SCHEMES
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer

from keyfast import settings as settings_room

FLEET = 200
BRANCH = 20
"""Of these, how many are in a ring of their own."""
OFF = 4
"""Of these, how many are switched off while the others come back."""
INTERVAL = 60
ALWAYS, WINDOW = 'device_key = "always"', 'device_key = "window"'


class ConsoleSite(WindowsServer):
    """The server.

    Args:
        folder: for its data, and for what is downloaded.
        domain: whose accounts log on.
        hook: port of a web server that is told of what needs somebody.
    """

    def __init__(self, folder: Path, domain: Domain, hook: int) -> None:
        self.folder = folder
        self.console = processes.free_port()
        self.home = f"https://localhost:{self.console}"
        data = folder / "data"
        data.mkdir(mode=0o700)
        (data / "hook.secret").touch(mode=0o600)
        (data / "hook.secret").write_text("a secret between two machines\n")
        tables = (
            f"\n[console]\nport = {self.console}\n[recovery]\n{ALWAYS}\n"
            f'[notify]\nwebhook = "http://127.0.0.1:{hook}/"\nwebhook_secret_file = "hook.secret"\n'
        )
        head = 'second_person = ["key.rotate"]\n'
        super().__init__(data, domain, interval=5, windows=False, extra=tables, head=head)
        processes.until(self._shows, "the console")
        self.fleet = RigFleet(())

    def _shows(self) -> bool:
        try:
            with httpx2.Client(verify=self.tls(), trust_env=False) as http:
                return http.get(f"{self.home}/sign-in").status_code == 200
        except httpx2.HTTPError:
            return False

    @property
    def certificate(self) -> Path:
        """What it shows to browsers."""
        return self.settings.tls / "server.pem"

    def invitation(self, name: str) -> str:
        """``keyfast person add`` on the server's own machine."""
        words = ("person", "add", name, "--role", "administrator", "--json")
        done = processes.run("keyfast.cli.main", *words, KEYFAST_DATA=str(self.data))
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["code"])

    def settle(self, before: str, after: str) -> None:
        """Change the settings, and start the server anew."""
        self.close()
        file = self.data / settings_room.FILE_NAME
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))
        self.settings = settings_room.load(self.data)
        self.start()
        processes.until(self._shows, "the console")

    async def installed(self, archive: Path, number: int) -> None:
        """A package in Windows mode is installed on so many computers, and all check in: a third by each scheme."""
        bundle, there = read_bundle(archive), len(self.fleet)
        rigs = [self.rig(bundle, n, only=SCHEMES[n % len(SCHEMES)]) for n in range(there, there + number)]
        for n, rig in enumerate(rigs, there):
            rig.machine.name = f"pc-{n:03}"
        self.fleet.rigs += rigs
        await self.all_check_in(rigs)

    async def all_check_in(self, rigs: Sequence[WindowsRig] | None = None) -> None:
        """These check in, or everybody; whom a busy server asks to come later comes later."""
        chosen = self.fleet.rigs if rigs is None else rigs
        before = [rig.agent.record.acked for rig in chosen]

        def all_did() -> bool:
            found = zip((rig.agent.record for rig in chosen), before, strict=True)
            return all(not record.failures and record.acked != was for record, was in found)

        await self.fleet.check_in(chosen)
        await self.fleet.until(all_did, "these to check in", chosen)

    @property
    def branch(self) -> Sequence[WindowsRig]:
        """The computers of the ring ``branch``."""
        return self.fleet.rigs[-BRANCH:]

    async def verified(self, rigs: Sequence[WindowsRig]) -> None:
        """Three check-ins and a restart: these trust a new access from then on, and go back to no former one."""
        for _ in range(3):
            await self.all_check_in(rigs)
        self.fleet.restart(rigs)
        for _ in range(2):
            await self.all_check_in(rigs)

    @property
    def off(self) -> Sequence[WindowsRig]:
        """The computers that are switched off for a while."""
        return self.fleet.rigs[:OFF]

    @property
    def on(self) -> Sequence[WindowsRig]:
        """The others."""
        return self.fleet.rigs[OFF:]

    async def password_changed(self, account: Account, password: str) -> None:
        """Somebody changes it in Active Directory: twice, so that it does not take the old one for another hour.

        Returns when the server has seen it, and no endpoint is let in any more.
        """
        before = self.last_event()
        for new in (f"{password}-0", password):
            await asyncio.to_thread(account.domain.password, account.name, new)
        await asyncio.to_thread(self.await_events, "generation_refused", account=account, after=before)
        await self.fleet.until(lambda: all(record.failures for record in self.fleet.records()), "all to be silent")

    async def hurries(self) -> None:
        """From now on everybody checks in each minute, and the server expects that of each."""
        await roll_call.often(self, INTERVAL)

        def all_know() -> bool:
            return all(record.policy and record.policy.version == roll_call.OFTEN for record in self.fleet.records())

        await self.fleet.until(all_know, "the policy to be known")
        await self.all_check_in()

    async def silent_since(self, moment: float) -> None:
        """Wait until everybody who checked in last at a moment has missed a whole check-in, and call the roll."""
        await asyncio.sleep(max(0.0, moment + 2.25 * INTERVAL - time.time()))
        await roll_call.called(self)

    async def back(self, rigs: Sequence[WindowsRig], generation: int) -> None:
        """Let these act until each of them checks in, with this generation of the password."""

        def all_are() -> bool:
            records = [rig.agent.record for rig in rigs]
            return all(not record.failures and record.credential_generation == generation for record in records)

        await self.fleet.until(all_are, "these to be back", rigs)

    async def visited(self, done: Callable[[], bool], what: str, rigs: Sequence[WindowsRig] | None = None) -> None:
        """Let these act until something is so; what the server does by itself meanwhile takes a second."""
        for _ in range(60):
            if done():
                return
            await self.fleet.visit(rigs)
            await asyncio.sleep(0.5)
        raise AssertionError(f"{what}: {self.fleet.said(rigs)}")
