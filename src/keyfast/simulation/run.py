"""Run scenarios: one after the other, each with a site and a fleet of its own."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from keyfast.simulation.endpoint import Faults
from keyfast.simulation.fleet import Fleet
from keyfast.simulation.habits import DAY
from keyfast.simulation.leading import ScenarioError
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.report import Result, result
from keyfast.simulation.scenarios import SCENARIOS, Scenario, begin
from keyfast.simulation.site import new_site

START = 1_800_000_000.0
FAULTS = Faults(lost=0.01, answer_lost=0.01)
"""One request in a hundred does not arrive, and one answer in a hundred."""

Progress = Callable[[float], None]


def run(
    name: str, folder: Path, *, count: int, days: int, seed: int, progress: Progress, faults: Faults = FAULTS
) -> Result:
    """Run one scenario.

    Args:
        name: of the scenario.
        folder: for the server's data; must be empty.
        count: machines that the fleet begins with.
        days: virtual days; acts on later days are left out.
        seed: of everything that chance decides, except the server's own secrets.
        progress: told the share that is done, in [0, 1].
        faults: of the network.
    """
    moment = VirtualTime(START)
    site = new_site(folder, moment, SCENARIOS[name].device_key)
    fleet = Fleet(site, days, seed, faults)
    began = time.monotonic()
    stranded, short_of = asyncio.run(_run(name, fleet, count, progress))
    return result(name, fleet, stranded, short_of, time.monotonic() - began)


async def _run(name: str, fleet: Fleet, count: int, progress: Progress) -> tuple[tuple[str, ...], str]:
    """Return the names of the stranded, and what the scenario did not come to in its time."""
    scenario, end = SCENARIOS[name], START + fleet.days * DAY

    def told(now: float) -> None:
        progress(min((now - START) / (end + 4 * DAY - START), 1.0))

    try:
        await fleet.site.found()
        await begin(fleet, scenario, count)
        for day, act in scenario.acts:
            if day < fleet.days:
                await fleet.run(START + day * DAY, told)
                await act(fleet)
        await fleet.run(end, told)
        short_of = await _short_of(scenario, fleet)
        stranded = await fleet.roll_call(told)
    finally:
        await fleet.site.stop()
    return tuple(endpoint.name for endpoint in stranded), short_of


async def _short_of(scenario: Scenario, fleet: Fleet) -> str:
    """Say why a scenario shows less than it is there for; who is stranded is counted all the same."""
    try:
        if scenario.last is not None:
            await scenario.last(fleet)
    except ScenarioError as fault:
        return f"{fault.message}; {fault.repair}"
    return ""
