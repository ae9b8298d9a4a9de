"""One simulated endpoint: the real agent over a disk, clocks and a network in memory."""

import random
import uuid
from dataclasses import dataclass, field
from enum import StrEnum

import httpx2

from keyfast.agent.client_database import Record, decode_record, encode_record
from keyfast.agent.decide import Restart, Wait
from keyfast.agent.install import seed
from keyfast.agent.link import Link
from keyfast.agent.loop import Agent
from keyfast.agent.machine import Snapshot
from keyfast.errors import ClientDatabaseError
from keyfast.simulation.habits import Calendar
from keyfast.simulation.moments import EndpointClock, VirtualTime
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import Encryption, Hardware, Inventory, Protection, Volume

STEPS = 32
"""Actions of one visit at most; an agent that takes more has lost its way."""
_OS = (Volume("root", Encryption.ENCRYPTED, Protection.ON, "/", "os", "luks2"),)


class StoreFault(StrEnum):
    """When a store fails: before or after the record was replaced."""

    BEFORE = "before"
    AFTER = "after"


class NetFault(StrEnum):
    """What is lost: a request before it arrived, or the answer after it was made."""

    LOST = "lost"
    ANSWER_LOST = "answer lost"


class Disk:
    """A client database that keeps encoded records (``agent.client_database.ClientDatabase``).

    Attributes:
        content: the encoded record.
        coming: what becomes of the next stores, the next one first; those beyond succeed.
    """

    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self.coming: list[StoreFault | None] = []

    def load(self) -> Record | None:
        """Return the record."""
        return decode_record(self.content) if self.content else None

    def store(self, record: Record) -> None:
        """Replace the record, unless it fails; what fails may have taken all the same.

        Raises:
            ClientDatabaseError: it was to fail.
        """
        fault = self.coming.pop(0) if self.coming else None
        if fault is not StoreFault.BEFORE:
            self.content = encode_record(record)
        if fault is not None:
            raise ClientDatabaseError("the simulated disk failed")

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a simulated machine is (``agent.machine.Machine``)."""

    name: str
    clock: EndpointClock

    async def observe(self) -> Snapshot:
        """Read the inventory."""
        return Snapshot(
            Inventory(self.name, "Simulated", "1", "x86_64", _OS, f"SIMULATED\\user-{self.name}"), self.clock.now()
        )

    def hardware(self) -> Hardware:
        """Return hardware facts."""
        return Hardware(f"smbios {self.name}", f"machine {self.name}")


@dataclass(slots=True)
class Faults:
    """How often the network fails (shares of requests).

    Attributes:
        lost: share of requests that do not arrive.
        answer_lost: share of answers that do not.
        coming: what becomes of the next requests, the next one first; chance decides on those beyond.
    """

    lost: float = 0.0
    answer_lost: float = 0.0
    coming: list[NetFault | None] = field(default_factory=list)

    def next(self, drawn: float) -> NetFault | None:
        """Return what becomes of the next request; ``drawn`` is uniform in [0, 1)."""
        if self.coming:
            return self.coming.pop(0)
        if drawn < self.lost:
            return NetFault.LOST
        return NetFault.ANSWER_LOST if drawn < self.lost + self.answer_lost else None


class Wire(httpx2.AsyncBaseTransport):
    """The way to the server: loses requests before they arrive, and answers after they were made."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, faults: Faults, chance: random.Random) -> None:
        self._inner = inner
        self._faults = faults
        self._chance = chance

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, or lose it or its answer."""
        fault = self._faults.next(self._chance.random())
        if fault is NetFault.LOST:
            raise httpx2.ConnectError("lost on the way", request=request)
        response = await self._inner.handle_async_request(request)
        if fault is NetFault.ANSWER_LOST:
            await response.aread()
            raise httpx2.ReadError("the answer was lost", request=request)
        return response


class Endpoint:
    """An endpoint of the fleet.

    Args:
        number: names it, and seeds its chance.
        disk: its client database.
        calendar: when it is in reach.
        time: the simulation's.
        net: the way to the server.
        faults: of the network.
        seed_: of the simulation.
    """

    def __init__(
        self,
        number: int,
        disk: Disk,
        calendar: Calendar,
        time: VirtualTime,
        net: httpx2.AsyncBaseTransport,
        faults: Faults,
        seed_: int,
    ) -> None:
        self.number = number
        self.disk = disk
        self.calendar = calendar
        self.chance = random.Random(f"{seed_}/endpoint/{number}")  # noqa: S311 - a simulation that repeats itself
        self.clock = EndpointClock(time, booted_at=time.now)
        self.faults = faults
        self._wire = Wire(net, faults, self.chance)
        self.agent = self._agent()

    @property
    def name(self) -> str:
        """Its host name."""
        return f"pc-{self.number:05}"

    @property
    def record(self) -> Record:
        """What its agent remembers."""
        return self.agent.record

    def restart_agent(self) -> None:
        """End the agent's process and start another; the machine stays on."""
        self.agent = self._agent()

    def restart(self, content: bytes | None = None) -> None:
        """Switch it off and on; with ``content`` its disk was replaced by an image meanwhile."""
        if content is not None:
            self.disk.content = content
        self.clock.boot()
        self.restart_agent()

    async def visit(self) -> float:
        """Let the agent act until it wants to wait; return for how many seconds.

        Raises:
            RuntimeError: it does not come to rest.
        """
        try:
            for _ in range(STEPS):
                action = await self.agent.step()
                if isinstance(action, Wait):
                    return action.seconds
                if isinstance(action, Restart):
                    await self.agent.rest()
                    self.restart_agent()
        finally:
            await self.agent.rest()
        raise RuntimeError(f"the agent of {self.name} does not come to rest")

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def _agent(self) -> Agent:
        link = Link(self.clock, self._new_id, lambda _context: self._wire)
        made = Agent(self.disk, link, Body(self.name, self.clock), self.clock, self.chance.random, self._new_id)
        made.keeps_running = True
        return made


def installed(bundle: Bundle) -> Disk:
    """Return the disk of a machine on which a package was just installed."""
    disk = Disk()
    seed(disk, bundle)
    return disk
