"""An agent whose database, clock and machine a test holds in its hands."""

import random
import ssl
import uuid
from collections.abc import Callable

import httpx2
from msgspec.structs import replace
from tests.support.fake_server import FakeServer

from keyfast.agent.client_database import Record, decode_record, encode_record
from keyfast.agent.decide import Wait
from keyfast.agent.install import Seeded, seed
from keyfast.agent.link import Link
from keyfast.agent.loop import Agent
from keyfast.agent.machine import Snapshot
from keyfast.agent.timing import Moment
from keyfast.errors import ClientDatabaseError
from keyfast.wire.messages import Encryption, Hardware, Inventory, Protection, Volume


class MemoryDatabase:
    """Keeps the encoded record; ``fail`` decides for each store whether it fails, and whether it took."""

    def __init__(self, record: Record | None = None) -> None:
        self.content = b"" if record is None else encode_record(record)
        self.fail: Callable[[], str] = lambda: ""
        self.stores = 0

    def load(self) -> Record | None:
        return decode_record(self.content) if self.content else None

    def store(self, record: Record) -> None:
        self.stores += 1
        how = self.fail()
        if how != "before":
            self.content = encode_record(record)
        if how:
            raise ClientDatabaseError("no space left on device")

    def close(self) -> None:
        pass


class FakeClock:
    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.moment = Moment(wall, 1000.0, str(uuid.UUID(int=1, version=4)))

    def now(self) -> Moment:
        return self.moment

    def pass_time(self, seconds: float) -> None:
        self.moment = replace(self.moment, wall=self.moment.wall + seconds, boot=self.moment.boot + seconds)

    def reboot(self) -> None:
        self.moment = Moment(self.moment.wall + 60, 5.0, str(uuid.uuid4()))

    def set_wall(self, wall: float) -> None:
        self.moment = replace(self.moment, wall=wall)


class FakeMachine:
    def __init__(self, clock: FakeClock, name: str = "host") -> None:
        self.clock = clock
        self.name = name
        self.volumes: tuple[Volume, ...] = (Volume("v1", Encryption.ENCRYPTED, Protection.ON, "/", "os", "luks2"),)

    async def observe(self) -> Snapshot:
        return Snapshot(Inventory(self.name, "Test OS", "1", "x86_64", self.volumes), self.clock.now())

    def hardware(self) -> Hardware:
        return Hardware("smbios", "machine")


class Channel(httpx2.AsyncBaseTransport):
    """TLS to a server in memory: a host whose certificate does not hold is reached only by who does not look."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, context: ssl.SSLContext) -> None:
        self.transport = transport
        self.looks = context.verify_mode is not ssl.CERT_NONE

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.looks and request.url.host in getattr(self.transport, "untrusted_hosts", ()):
            unknown = ssl.SSLCertVerificationError("unknown CA")
            unknown.verify_code = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
            raise httpx2.ConnectError("certificate verify failed") from unknown
        return await self.transport.handle_async_request(request)


class Rig:
    """Puts an agent together over a transport; ``restart`` is a crash: everything but the disk is lost."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, database: MemoryDatabase, number: int = 0) -> None:
        self.transport = transport
        self.database = database
        self.clock = FakeClock()
        self.machine = FakeMachine(self.clock)
        self.random = random.Random(number)  # noqa: S311 - a test that repeats itself
        self.agent = self._agent()

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _agent(self) -> Agent:
        link = Link(self.clock, self.new_id, lambda context: Channel(self.transport, context))
        return Agent(self.database, link, self.machine, self.clock, self.random.random, self.new_id)

    def restart(self) -> None:
        self.agent = self._agent()

    async def visit(self, steps: int = 24) -> float:
        """Step until the agent wants to wait; return for how long."""
        for _ in range(steps):
            action = await self.agent.step()
            if isinstance(action, Wait):
                return action.seconds
        raise AssertionError("the agent does not come to rest")


def rig_for(server: FakeServer) -> Rig:
    database = MemoryDatabase()
    assert seed(database, server.bundle()) is Seeded.NEW
    return Rig(server, database)


def pass_time(server: FakeServer, rig: Rig, seconds: float) -> None:
    server.now += int(seconds)
    rig.clock.pass_time(seconds)
