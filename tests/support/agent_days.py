"""Days in the life of an agent in Windows mode or with tokens: accounts, servers, and the time between its visits."""

from tests.support.fake_agent import Rig, pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.wire.bundle import BundleAccount

HOUR = 3600.0
ACCOUNT_A = BundleAccount("svc-a", "CORP", "first-Secret", 1)
ACCOUNT_B = BundleAccount("svc-b", "CORP", "second-Secret", 1)
OLD, NEW = "https://old.example.com", "https://new.example.com"
RECOVER = "/endpoint/v1/recover"


def windows_server(*urls: str) -> FakeServer:
    """A server in Windows mode; whoever may not recover asks it again after ten minutes."""
    server = FakeServer(urls or (OLD,)).windows(ACCOUNT_A, "basic")
    server.next_try_s = 600
    return server


async def enrolled(server: FakeServer) -> Rig:
    """An agent that has enrolled."""
    rig = rig_for(server)
    await rig.visit()
    assert server.by_id
    return rig


async def hours(server: FakeServer, rig: Rig, count: int = 1) -> None:
    """Let an hour pass before each visit."""
    for _ in range(count):
        pass_time(server, rig, HOUR)
        await rig.visit()


async def visits(server: FakeServer, rig: Rig, count: int = 1, longest: float = HOUR) -> None:
    """Let the agent decide when it comes again."""
    for _ in range(count):
        pass_time(server, rig, min(await rig.visit(), longest))


def asked(server: FakeServer) -> int:
    """How often somebody asked for a recovery."""
    return sum(path == RECOVER for _, path in server.requests)


async def until_well(server: FakeServer, rig: Rig, within: float = 2 * 86_400) -> float:
    """Let time pass until a check-in is accepted; return the seconds it took."""
    waited, bodies = 0.0, sum(len(known.bodies) for known in server.by_id.values())
    while waited < within:
        wait = await rig.visit()
        if sum(len(known.bodies) for known in server.by_id.values()) > bodies and rig.agent.record.failures == 0:
            return waited
        pass_time(server, rig, wait)
        waited += wait
    raise AssertionError(f"stranded: {rig.agent.record.trouble}, {server.recoveries[-1:]}")
