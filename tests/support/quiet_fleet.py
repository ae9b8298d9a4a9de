"""A fleet of real agents over the real server in virtual time, whose silence a roll call is to explain."""

import asyncio
import heapq
import io
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from tests.support.witness import founded

from keyfast.errors import ClientDatabaseError
from keyfast.simulation.endpoint import Endpoint, Faults, installed
from keyfast.simulation.habits import Calendar, Habit
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.simulation.site import Site
from keyfast.store import policies
from keyfast.store.database import Database
from keyfast.wire.bundle import Bundle
from keyfast.wire.incident import IncidentLine, IncidentView
from keyfast.wire.messages import Policy

ALPHA, BETA = "svc-alpha", "svc-beta"
PASSWORD = "First-Passw0rd-0"
CHANGED = "Changed-By-Somebody-1"
INTERVAL = 900
ROLL_CALL = 300
ALWAYS = Calendar(Habit.DESKTOP, 0, 24)


class Lane(httpx2.AsyncBaseTransport):
    """The way from one subnet to the server; while it is cut nothing passes."""

    def __init__(self, site: Site, address: str) -> None:
        self._site, self._address = site, address
        self.cut = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.cut:
            raise httpx2.ConnectTimeout("nothing comes back", request=request)
        request.extensions["client"] = (self._address, 123)
        return await self._site.net.handle_async_request(request)


class QuietFleet:
    """A server in virtual time, endpoints that act when they want to, and a roll call each five minutes."""

    def __init__(self, folder: Path, accounts: Iterable[str] = (ALPHA, BETA)) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = VirtualTime(START)
        folder.mkdir(mode=0o700)
        founded(folder, dict.fromkeys(accounts, PASSWORD))
        self.site = Site(folder, self.time)
        self.run(self._often())
        self.run(self.site.start())
        self.endpoints: list[Endpoint] = []
        self.off: set[int] = set()
        self.jobs_every = 60
        self._agenda: list[tuple[float, int]] = []
        self._called_at = 0.0
        self.console = Console(record=True, width=200, file=io.StringIO())

    async def _often(self) -> None:
        """Let the policy be the usual one: the simulation's is once a day."""
        database = await Database.open(self.site.settings.database_url)
        async with database.write() as conn:
            policy = Policy(version=3, check_in_interval_s=INTERVAL)
            await policies.add(conn, policy, created_at=int(self.time.now))
        await database.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        self.run(self.site.stop())
        self.loop.close()

    def lane(self, address: str) -> Lane:
        return Lane(self.site, address)

    def install(self, count: int, account: str, lane: Lane, *, ring: str = "default") -> list[Endpoint]:
        """Install a package of an account on so many machines of a subnet; "" is OAuth."""
        order = {"mode": "windows", "account": account} if account else {"mode": "oauth"}
        bundle: Bundle = self.run(self.site.package(days=365, ring=ring, **order))
        made = []
        for _ in range(count):
            number = len(self.endpoints)
            endpoint = Endpoint(number, installed(bundle), ALWAYS, self.time, lane, Faults(), 1)
            self.endpoints.append(endpoint)
            # As people switch on: not all in the same second.
            heapq.heappush(self._agenda, (self.time.now + number * 13 % INTERVAL, number))
            made.append(endpoint)
        return made

    def switch_off(self, endpoints: Iterable[Endpoint]) -> None:
        self.off |= {endpoint.number for endpoint in endpoints}

    def switch_on(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            if endpoint.number in self.off:
                self.off.remove(endpoint.number)
                heapq.heappush(self._agenda, (self.time.now + 1, endpoint.number))

    def pass_time(self, seconds: float) -> None:
        """Let time pass: endpoints act when they want to, the server's jobs every minute or as told."""
        end = self.time.now + seconds
        while True:
            due = self._agenda[0][0] if self._agenda else end
            tick = self.time.now - self.time.now % self.jobs_every + self.jobs_every
            self.time.now = max(self.time.now, min(due, tick, end))
            if self.time.now >= tick:
                self.run(self._jobs())
            if self.time.now >= end:
                return
            while self._agenda and self._agenda[0][0] <= self.time.now:
                _, number = heapq.heappop(self._agenda)
                if number not in self.off:
                    heapq.heappush(self._agenda, (self.time.now + self._visit(self.endpoints[number]), number))

    def change_password(self, account: str) -> None:
        """Twice, so that no grace delays what follows."""
        for password in ("In-Between-Passw0rd-0", CHANGED):
            self.run(self.site.set_password(account, password))

    def until(self, done: Callable[[], bool], most: float, step: float = ROLL_CALL) -> None:
        end = self.time.now + most
        while not done():
            assert self.time.now < end, [line.told for line in self.incidents()]
            self.pass_time(step)

    async def _jobs(self) -> None:
        await self.site.tick()
        if self.time.now - self._called_at >= ROLL_CALL:
            self._called_at = self.time.now
            await self.site.roll_call()

    def _visit(self, endpoint: Endpoint) -> float:
        try:
            return float(self.run(endpoint.visit())) + 0.1
        except ClientDatabaseError:
            return 30.0

    def incidents(self) -> list[IncidentLine]:
        return self.run(self.site.get("/admin/v1/incidents", list[IncidentLine]))

    def show(self, incident: str) -> IncidentView:
        return self.run(self.site.get(f"/admin/v1/incidents/{incident}", IncidentView))
