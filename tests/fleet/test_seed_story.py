"""The seed's story on a real domain: a password is changed, a hundred endpoints go silent, and all come back.

Once as the story is usually told, through a time in which Anonymous is open; once without opening anything.
"""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.support import processes
from tests.support.fleet import RigFleet
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

FLEET = 100
OFFLINE = 4
CHANGED = "Changed-By-Somebody-1"
SCHEMES = ("Negotiate", "NTLM", "Basic")


class Story:
    """A site whose fleet has checked in, and what its administrator does at the command line."""

    def __init__(self, server: WindowsServer, account: Account) -> None:
        self.server, self.account = server, account
        bundle = server.windows_bundle(account)
        self.fleet = RigFleet(
            server.rig(bundle, number, only=SCHEMES[number % len(SCHEMES)]) for number in range(FLEET)
        )
        for number, rig in enumerate(self.fleet.rigs):
            rig.machine.name = f"pc-{number:03}"

    def keyfast(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        done = processes.run("keyfast.cli.main", *arguments, "--data", str(self.server.data), stdin=stdin)
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict:
        command = ("recover", "--status", "--account", self.account.logon, "--json", "--data", str(self.server.data))
        return json.loads(processes.run("keyfast.cli.main", *command).stdout)

    async def awaited(self, rigs: Sequence[WindowsRig], **members: object) -> dict:
        """The status, as soon as it says so; meanwhile these go on checking in."""
        for _ in range(20):
            found = self.status()
            if all(found[name] == value for name, value in members.items()):
                return found
            await self.fleet.visit(rigs)
        raise AssertionError(f"{members} is awaited, not {found}")

    async def somebody_changes_the_password(self) -> None:
        """Twice, so that the directory does not take the old one for another hour."""
        self.account.domain.password(self.account.name, f"{CHANGED}0")
        self.account.domain.password(self.account.name, CHANGED)
        self.server.check_account(self.account)
        self.server.await_events("generation_refused", account=self.account)

    async def all_are_silent(self) -> None:
        """Everybody tries, and nobody is let in."""
        await self.fleet.until(self.nobody_is_let_in, "all to be silent")  # tickets are good until that is known
        before = [record.acked for record in self.fleet.records()]
        for _ in range(2):
            await self.fleet.visit()
        assert [record.acked for record in self.fleet.records()] == before, self.fleet.said()

    def nobody_is_let_in(self) -> bool:
        return all(rig.agent.record.failures for rig in self.fleet.rigs)

    async def all_check_in(self) -> None:
        """Everybody checks in with the new password, and once more after a restart."""
        await self.fleet.until(self.everybody_is_back, "all to be back")
        self.fleet.restart()
        await self.fleet.check_in()
        assert self.everybody_is_back(), self.fleet.said()

    def back(self, rigs: Sequence[WindowsRig]) -> bool:
        """All of these check in, with the new password."""
        records = [rig.agent.record for rig in rigs]
        return all(not record.failures and record.credential_generation == 2 for record in records)

    def everybody_is_back(self) -> bool:
        return self.back(self.fleet.rigs)


@pytest.fixture
async def story(kerberos: Domain, tmp_path: Path, account: Account, request) -> AsyncIterator[Story]:
    server = WindowsServer(tmp_path / "server", kerberos, interval=5, extra=getattr(request, "param", ""))
    server.add_account(account)
    made = Story(server, account)
    await made.fleet.check_in()
    assert all(record.receipt for record in made.fleet.records()), made.fleet.said()
    yield made
    server.close()


async def test_all_come_back_without_opening_anything(story: Story):
    # 1. A fleet in Windows mode checks in, by every mechanism.
    assert len(story.server.endpoints(limit=1000)) == FLEET
    # 2. Somebody changes the password in Active Directory; all go silent.
    await story.somebody_changes_the_password()
    await story.all_are_silent()
    # 3. The administrator is told what broke, who is affected, and which ways out there are.
    found = story.status()
    assert (found["stage"], found["missing_count"]) == ("waiting", FLEET)
    # 4. The way without a visit and without opening anything; a wrong password is refused first.
    way = ("recover", "--account", story.account.logon, "--way", "device-key", "--password-file", "-", "--json")
    story.keyfast(*way, stdin="Not-The-Passw0rd-1\n", code=1)
    story.keyfast(*way, stdin=CHANGED + "\n", code=3)
    # 5. Some are switched off; the others come back by themselves.
    late, others = story.fleet.rigs[:OFFLINE], story.fleet.rigs[OFFLINE:]
    await story.fleet.until(lambda: story.back(others), "the others to be back", others)
    missing = await story.awaited(others, missing_count=OFFLINE)
    # 6. While some are missing they are named.
    names = {line.id: line.name for line in story.server.endpoints(limit=1000)}
    assert set(missing["missing"]) == {names[rig.agent.record.endpoint_id] for rig in late}
    # 7. They come back, and the operation ends by itself once all were seen again.
    await story.all_check_in()
    await story.awaited(story.fleet.rigs, stage="done")
    story.keyfast("recover", "--resume", "--json")
    assert story.status()["stage"] in {"idle", "done"}
    # 8. Nothing was opened, and nobody's tries locked the account.
    assert not story.server.events("window_opened")
    assert bad_passwords(story.account) < 5


@pytest.mark.parametrize("story", ['\n[recovery]\ndevice_key = "window"\n'], indirect=True)
async def test_all_come_back_through_a_recovery_window(story: Story):
    # 1.-2. As above, at a site that lets endpoints recover at announced times only.
    await story.somebody_changes_the_password()
    await story.all_are_silent()
    # 3. The new password on record alone brings nobody back here.
    # 4. The administrator opens Anonymous for recovery: for a reason, a time, these endpoints, these addresses.
    order = ("--reason", "the password was changed", "--minutes", "30", "--address", "127.0.0.0/8")
    way = ("recover", "--account", story.account.logon, "--way", "window", *order, "--password-file", "-", "--json")
    story.keyfast(*way, stdin=CHANGED + "\n", code=3)
    (opened,) = story.server.events("window_opened")
    assert opened.detail["endpoints"] == FLEET
    # 5. Everybody who looks at this server is told that it is open.
    told = processes.run("keyfast.cli.main", "endpoint", "list", "--data", str(story.server.data))
    assert "recovery window open" in told.stderr
    # 6. All but some come back; who is missing has a name, and the window does not close over them.
    others = story.fleet.rigs[OFFLINE:]
    await story.fleet.until(lambda: story.back(others), "the others to be back", others)
    await story.awaited(others, missing_count=OFFLINE)
    refused = processes.run("keyfast.cli.main", "window", "close", "--data", str(story.server.data))
    assert refused.returncode == 1
    assert "not proven" in refused.stderr
    # 7. The last ones come; the window is closed, and all go on checking in.
    await story.all_check_in()
    await story.awaited(story.fleet.rigs, stage="done")
    story.keyfast("recover", "--resume", "--json")
    assert story.server.events("window_closed")
    await story.fleet.check_in()
    assert story.everybody_is_back()
