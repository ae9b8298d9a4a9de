"""Runs every collector, those that do not wait for another at the same time, each with a limit of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from keyfast.agent import requests
from keyfast.agent.beside import beside
from keyfast.agent.client_database import Record
from keyfast.agent.clock import Clock
from keyfast.agent.diagnosis import asking, local, network
from keyfast.agent.diagnosis.facts import Disk, Facts, Hello, Memory, Past, Probed, Proxy, Service, Way, Who
from keyfast.agent.link import Connect, direct
from keyfast.agent.platform import Platform
from keyfast.agent.routes import Route, routes
from keyfast.core.mode import Mode
from keyfast.errors import TrustError

T = TypeVar("T")
LOCAL_SECONDS = 5.0
SERVER_SECONDS = 15.0
"""What all collectors of a kind may take together, as they run at the same time."""
MAX_WAYS = 6
_NOBODY = Hello(Who.NOBODY, detail="it was not asked, as its name has no address")


@dataclass(frozen=True, slots=True)
class Means:
    """What a diagnosis takes.

    Attributes:
        platform: the operating system.
        state: folder of the client database.
        clock: the endpoint's clocks.
        new_id: fresh random ids.
        tell: hears the name of each thing that was looked at.
        connect: makes a transport from a TLS context.
        resolve: looks names up.
        limits: seconds for local collectors, and for those that ask a server.
    """

    platform: Platform
    state: Path
    clock: Clock
    new_id: Callable[[], str]
    tell: Callable[[str], None] = lambda _: None
    connect: Connect = direct
    resolve: network.Resolve = network.addresses
    limits: tuple[float, float] = (LOCAL_SECONDS, SERVER_SECONDS)


@dataclass(frozen=True, slots=True)
class _Looking:
    """One diagnosis under way."""

    means: Means
    unseen: list[tuple[str, str]] = field(default_factory=list)

    async def at(self, name: str, look: Awaitable[T], otherwise: T, seconds: float) -> T:
        """Wait for one collector; whatever goes wrong in it is a thing that was not seen."""
        try:
            return await asyncio.wait_for(look, seconds)
        except TimeoutError:
            self.unseen.append((name, f"it took longer than {seconds:g} s"))
        except Exception as cause:  # noqa: BLE001 - one collector that fails must not cost what the others see
            # Not the fault's own words: nobody vouches for what they quote.
            self.unseen.append((name, f"looking failed: {type(cause).__name__}"))
        finally:
            self.means.tell(name)
        return otherwise

    async def beside(self, name: str, look: Callable[[], T], otherwise: T) -> T:
        return await self.at(name, beside(look, name), otherwise, self.means.limits[0])


async def collect(means: Means) -> Facts:
    """Look at everything; ends within the two limits together, and never raises."""
    looking = _Looking(means)
    nothing: tuple[Memory, Record | None] = (Memory(), None)
    platform, state = means.platform, means.state
    (memory, record), disk, service, proxy = await asyncio.gather(
        looking.beside("client database", lambda: local.memory(platform, state), nothing),
        looking.beside("disk", lambda: local.disk(state), Disk()),
        looking.beside("service", lambda: local.service(platform, state), Service()),
        looking.beside("proxy", local.proxy, Proxy()),
    )
    ways, hellos, probed = await _servers(looking, record) if record else ((), (), None)
    if probed is not None:
        # A running agent may have checked in meanwhile; what the server has said is of now.
        record = (await looking.beside("client database", lambda: local.memory(platform, state), nothing))[1] or record
    wall = int(means.clock.now().wall)
    past = _past(record, means.clock) if record else None
    unseen = tuple(dict(looking.unseen).items())
    folder = "" if state == platform.state() else str(state.absolute())
    return Facts(wall, sys.platform, memory, disk, service, proxy, ways, hellos, probed, past, unseen, folder)


async def _servers(looking: _Looking, record: Record) -> tuple[tuple[Way, ...], tuple[Hello, ...], Probed | None]:
    means = looking.means
    try:
        # In the profile's own order, whatever failed last.
        named = routes(replace(record, failures=0), means.platform.server_url())[:MAX_WAYS]
    except (TrustError, OSError) as cause:
        looking.unseen.append(("access profile", f"it cannot be read: {type(cause).__name__}"))
        return (), (), None
    names = await asyncio.gather(*(_name(looking, route) for route in named))
    # Nobody is asked whose name is not known: a look-up that hangs would hang once more, in a thread that must end.
    known = [(route, name) for route, name in zip(named, names, strict=True) if name.resolves]
    reached, heard, probed = await asyncio.gather(
        asyncio.gather(*(_way(looking, route, name) for route, name in known)),
        asyncio.gather(*(_hello(looking, route, record) for route, _ in known)),
        _probed(looking, record, tuple(route for route, _ in known)),
    )
    ways = {way.url: way for way in (*names, *reached)}
    hellos = {route.url: hello for (route, _), hello in zip(known, heard, strict=True)}
    return tuple(ways.values()), tuple(hellos.get(url, _NOBODY) for url in ways), probed


async def _name(looking: _Looking, route: Route) -> Way:
    means = looking.means
    look = beside(lambda: network.looked_up(route, means.resolve), "name")
    otherwise = Way(route.url, route.slot, detail="the look-up did not end")
    return await looking.at(f"name of {route.url}", look, otherwise, means.limits[0])


async def _way(looking: _Looking, route: Route, name: Way) -> Way:
    look = beside(lambda: network.way(route, name), "way")
    return await looking.at(f"way to {route.url}", look, name, looking.means.limits[1])


async def _hello(looking: _Looking, route: Route, record: Record) -> Hello:
    means = looking.means
    look = asking.hello(route, record, means.clock, means.new_id, means.connect)
    return await looking.at(f"server {route.url}", look, Hello(Who.NOBODY), means.limits[1])


async def _probed(looking: _Looking, record: Record, named: tuple[Route, ...]) -> Probed | None:
    means = looking.means
    asker = asking.Asker(means.clock, means.new_id, means.connect)
    return await looking.at("access", asker.ask(record, named), None, means.limits[1])


def _past(record: Record, clock: Clock) -> Past:
    refusal = record.last_refusal
    return Past(
        record.endpoint_id,
        record.admission.value,
        record.mode.value,
        requests.account_of(record).user if record.mode is Mode.WINDOWS else "",
        record.seq,
        record.last_success_at,
        record.failures,
        record.trouble,
        refusal.kind if refusal else "",
        refusal.detail if refusal else "",
        round(record.due.remaining(clock.now())) if record.due else 0,
    )
