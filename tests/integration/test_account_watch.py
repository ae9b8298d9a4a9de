"""The watch over a real account: told within one interval, and never locked by a fleet that holds a stale password."""

import asyncio
import heapq
import logging
import time
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.support import processes
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer

from keyfast.agent.link import Link, direct
from keyfast.agent.loop import Agent
from keyfast.wire.bundle import Bundle

DAY = 86_400
INTERVAL = 1000
"""The server's check-in interval with its jitter, and more than that."""
FLEET = 500
AT_ONCE = 8
SCHEMES = (("Negotiate", "NTLM", "Basic"), ("NTLM",), ("Basic",))
_log = logging.getLogger(__name__)
BLIND_SECONDS = 60
"""What may pass before the watch reads the account."""
NAP = 6 * 3600
"""A machine that is refused sleeps so long between two visits, as machines do at night: else 500 are 48,000 visits."""
THRESHOLD = 5
NEW = "Another-Passw0rd-1"


@pytest.fixture(scope="module")
def windows(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("watching"), ad)
    yield running
    running.close()


def told(server: WindowsServer, account: Account, *kinds: str, count: int = 1) -> list[dict]:
    """Wait for events about an account."""

    def there() -> list[dict] | None:
        found = [row.detail for row in server.events(*kinds, account=account)]
        return found if len(found) >= count else None

    return processes.until(there, f"{kinds} about {account.name}")


async def test_a_changed_password_is_an_event_within_one_interval(windows: WindowsServer, account: Account):
    windows.add_account(account)
    bundle = windows.windows_bundle(account)
    rig = windows.rig(bundle)
    await rig.check_in()
    assert rig.said.startswith("ok")
    changed_at = time.time()
    account.domain.password(account.name, NEW)
    (event,) = told(windows, account, "account_password_changed")
    took = time.time() - changed_at
    assert took < 5, "one interval is a second here"
    assert abs(event["set_at"] - changed_at) < 3
    assert event["grace_ends_at"] == event["set_at"] + 3600
    assert (event["packages"], event["endpoints"]) == ([bundle.package], 1)
    assert event["server"]
    told(windows, account, "generation_refused")
    assert windows.check_account(account).condition == "changed"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("disabled", "account_disabled"),
        ("must-change", "account_must_change"),
        ("account-expired", "account_expired"),
        ("expired", "account_expired"),
        ("locked", "account_locked"),
        ("deleted", "account_missing"),
    ],
)
async def test_each_trouble_is_an_event_and_so_is_its_end(windows: WindowsServer, account: Account, state, kind):
    account.domain.pso(f"pso-{account.name}", account.name, lockout_threshold=3)
    try:
        windows.add_account(account)
        account.state(state)
        (event,) = told(windows, account, kind)
        assert event["servers"]
        if state != "deleted":
            account.state("never-expires")
            told(windows, account, "account_repaired")
        assert len(told(windows, account, kind)) == 1
    finally:
        account.domain.delete_pso(f"pso-{account.name}")


@pytest.mark.parametrize(("days", "crossing"), [(29, 30), (13, 14), (6, 7), (0.5, 1)])
async def test_an_expiry_is_told_in_time(windows: WindowsServer, account: Account, days, crossing):
    windows.add_account(account)
    account.state(f"expiring:{int(days * DAY)}")
    event = told(windows, account, "account_expires")[-1]
    assert (event["days"], event["what"]) == (crossing, "password")
    assert abs(event["at"] - time.time() - days * DAY) < 120


async def test_an_outage_is_told_once_and_is_no_trouble_of_the_account(tmp_path: Path, windows: WindowsServer, account):
    windows.add_account(account)
    before = windows.last_event()
    account.domain.kill()
    try:
        processes.until(lambda: windows.events("directory_unreachable", after=before), "the outage to be told")
    finally:
        account.domain.start_again()
    processes.until(lambda: windows.events("directory_reachable", after=before), "its end to be told")
    assert windows.check_account(account).condition != "unreadable"
    assert windows.events(*(f"account_{what}" for what in ("missing", "locked", "repaired")), account=account) == []


class Seen(httpx2.AsyncBaseTransport):
    """An agent's way to the server: shows it a part of what the server offers, and counts what it presents."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes
        self.connection: httpx2.AsyncBaseTransport | None = None
        self.passwords = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert self.connection is not None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        self.passwords += scheme == "Basic" or (scheme == "NTLM" and b64decode(token)[8] == 3)
        response = await self.connection.handle_async_request(request)
        kept = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() != b"www-authenticate" or value.split()[0].decode() in self.schemes
        ]
        response.headers = httpx2.Headers(kept)
        return response


class FleetRig(WindowsRig):
    """One of many agents. Its connection is lent to it for a visit."""

    def __init__(self, bundle: Bundle, number: int, schemes: tuple[str, ...]) -> None:
        self.seen = Seen(schemes)
        super().__init__(bundle, number)
        self.woken = 0.0

    def _agent(self) -> Agent:
        link = Link(self.clock, self.new_id, lambda _context: self.seen)
        return Agent(self.database, link, self.machine, self.clock, self.random.random, self.new_id)

    async def wake(self, at: float) -> float:
        """Visit at this moment; return when to wake next."""
        self.clock.pass_time(at - self.woken)
        self.woken = at
        return at + max(await self.visit(), 1.0)


class Fleet:
    """Agents of one package, woken by their own clocks; some visits run at the same time, as they would."""

    def __init__(self, server: WindowsServer, account: Account) -> None:
        self.server, self.account = server, account
        self.rigs: list[FleetRig] = []
        self.connections = [direct(server.tls()) for _ in range(AT_ONCE)]
        self.wakes: list[tuple[float, int]] = []
        self.now = 0.0

    async def join(self, size: int) -> None:
        """Everybody joins and then checks in at a moment of its own."""
        bundle = self.server.windows_bundle(self.account)
        self.rigs = [FleetRig(bundle, number, SCHEMES[number % len(SCHEMES)]) for number in range(size)]
        self.wakes = [(0.0, number) for number in range(size)]
        await self.until(0.0)
        assert all(rig.agent.record.receipt for rig in self.rigs)
        for place, (at, number) in enumerate(self.wakes):  # they were not all switched on in the same second
            passed = self.rigs[number].random.random() * at
            self.rigs[number].clock.pass_time(passed)
            self.wakes[place] = (at - passed, number)
        heapq.heapify(self.wakes)

    async def until(self, end: float, *, asleep: float = 0.0) -> int:
        """Let time pass; machines sleep ``asleep`` seconds after each visit. Return how many visits there were."""
        visits = 0
        while self.wakes and self.wakes[0][0] <= end:
            for number, after in await self._some(end):
                heapq.heappush(self.wakes, (max(after, self.now + asleep), number))
                visits += 1
        self.now = end
        return visits

    async def return_(self, within: float) -> float:
        """Let time pass until everybody has checked in once more; return how long that took."""
        began, returned = self.now, []
        while self.wakes and self.wakes[0][0] <= began + within:
            for number, after in await self._some(began + within):
                away = self.rigs[number].agent.record.failures > 0
                heapq.heappush(self.wakes if away else returned, (after, number))
        assert not self.wakes, self.states()
        self.wakes = returned
        return self.now - began

    async def _some(self, end: float) -> list[tuple[int, float]]:
        """Wake the next few that wake before ``end``, at once; return when they want to wake again."""
        batch = [
            heapq.heappop(self.wakes)
            for _ in range(min(len(self.connections), len(self.wakes)))
            if self.wakes[0][0] <= end
        ]
        self.now = max(self.now, *(at for at, _ in batch))
        pairs = zip(batch, self.connections, strict=False)
        afters = await asyncio.gather(*(self._visit(at, number, by) for (at, number), by in pairs))
        return [(number, after) for (_, number), after in zip(batch, afters, strict=True)]

    async def _visit(self, at: float, number: int, connection: httpx2.AsyncBaseTransport) -> float:
        rig = self.rigs[number]
        rig.seen.connection = connection
        return await rig.wake(at)

    def states(self) -> Counter[str]:
        """How the agents fare: their mechanism, or the class of the last refusal."""
        return Counter(rig.said if rig.agent.record.failures else rig.agent.record.mechanism for rig in self.rigs)

    def passwords(self) -> int:
        """How many times a password was shown to the server."""
        return sum(rig.seen.passwords for rig in self.rigs)

    async def close(self) -> None:
        for connection in self.connections:
            await connection.aclose()


@pytest.fixture
async def fleet(kerberos: Domain, tmp_path: Path, account: Account) -> AsyncIterator[Fleet]:
    policy = f"pso-{account.name}"
    kerberos.pso(policy, account.name, lockout_threshold=THRESHOLD, lockout_minutes=24 * 60, history=0)
    server = WindowsServer(tmp_path / "server", kerberos, interval=60)
    server.add_account(account)
    made = Fleet(server, account)
    yield made
    await made.close()
    server.close()
    kerberos.delete_pso(policy)


def bad_passwords(account: Account) -> int:
    return int(account.read().get("badPwdCount", ["0"])[0])


async def server_knows(fleet: Fleet, account: Account, state: str) -> None:
    """The watch has read the account, and the check-in process has heard of it."""
    (generation,) = fleet.server.check_account(account).generations
    assert generation.state == state
    canary = fleet.rigs[0]
    schemes, canary.seen.schemes = canary.seen.schemes, ()  # it is shown no way to log on
    for _ in range(100):
        canary.agent.make_due()
        canary.seen.connection = fleet.connections[0]
        await canary.visit()
        if (canary.said == "account_refused") is (state == "refused"):
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError(f"the server did not hear that the generation is {state}")
    canary.seen.schemes = schemes


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_stale_fleet_does_not_lock_its_account_in_a_day_and_comes_back_without_a_visit(
    fleet: Fleet, account: Account
):
    """500 agents, a third by each mechanism; five wrong passwords would lock the account for the day.

    The directory's time is real, the agents' is not: none of it passes while the server reads the account.
    The password is set three times, so that the directory no longer recognises the old one as a recent one.
    """
    await fleet.join(FLEET)
    assert set(fleet.states()) == {"kerberos", "ntlm", "basic"}
    assert bad_passwords(account) == 0
    shown = fleet.passwords()

    for number in range(3):
        account.domain.password(account.name, f"{NEW}{number}")
    account.state("age:1")  # set yesterday, so that there is no grace
    fleet.connections, every = fleet.connections[:1], fleet.connections  # in a minute they come one by one
    await fleet.until(BLIND_SECONDS)
    fleet.connections = every
    unread = bad_passwords(account)
    await server_knows(fleet, account, "refused")
    visits = await fleet.until(INTERVAL)
    assert fleet.states() == {"account_refused": FLEET}
    for rig in fleet.rigs:
        rig.restart()
    visits += await fleet.until(DAY, asleep=NAP)
    _log.info("%d visits, %d passwords shown to the server", visits, fleet.passwords() - shown)
    _log.info("badPwdCount: %d before the watch had read it, %d after a day", unread, bad_passwords(account))
    assert bad_passwords(account) < THRESHOLD
    assert account.read().get("lockoutTime", ["0"]) == ["0"]
    assert fleet.states() == {"account_refused": FLEET}

    account.domain.password(account.name, account.password)
    await server_knows(fleet, account, "proven")
    _log.info("all were back after %d seconds", await fleet.return_(within=DAY / 2))
    assert set(fleet.states()) == {"kerberos", "ntlm", "basic"}
    assert fleet.states().total() == FLEET
    assert len(fleet.server.endpoints(limit=1000)) == FLEET
