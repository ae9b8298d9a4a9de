"""This machine, put together from the disks room."""

from functools import lru_cache

from keyfast.agent.clock import Clock, SystemClock
from keyfast.agent.machine import LocalMachine
from keyfast.disks import factory, os_facts
from keyfast.disks.runner import SystemRunner
from keyfast.wire.messages import Inventory


@lru_cache(maxsize=1)
def system_clock() -> SystemClock:
    """Return the clocks of this machine."""
    return SystemClock(os_facts.boot_id())


def local_machine(clock: Clock) -> LocalMachine:
    """Return this machine; every reading looks again."""
    return LocalMachine(
        _facts, factory.for_this_machine(SystemRunner()).volumes, os_facts.hardware, clock, os_facts.user
    )


def _facts() -> Inventory:
    facts = os_facts.read()
    return Inventory(facts.hostname, facts.os, facts.os_version, facts.architecture)
