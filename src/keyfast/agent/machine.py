"""What this endpoint is: its inventory as the disks room reads it, kept from standing in the way.

A volume tool that hangs, fails or disappears makes a volume unknown. It never keeps an endpoint from
checking in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec.structs import replace

from keyfast.agent.beside import beside
from keyfast.agent.clock import Clock
from keyfast.agent.timing import Moment
from keyfast.wire import limits, messages
from keyfast.wire.messages import Encryption, Hardware, Inventory, Protection, Volume

MAX_VOLUMES = 256
MAX_INVENTORY_BYTES = limits.MAX_CHECK_IN_BYTES * 3 // 4


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An inventory and the moment at which it was verified."""

    inventory: Inventory
    at: Moment


class Machine(Protocol):
    """The endpoint, as far as the loop is concerned."""

    async def observe(self) -> Snapshot:
        """Read the inventory; never raises for a failing tool."""
        ...

    def hardware(self) -> Hardware:
        """Return hardware facts, told at registration only."""
        ...


class LocalMachine:
    """This machine.

    Args:
        facts: reads host name and operating system: an inventory without volumes.
        volumes: reads the volumes.
        hardware: reads hardware facts.
        clock: dates a reading.
        user: reads who is signed in, empty for nobody; whoever was is told until somebody else is.
    """

    def __init__(
        self,
        facts: Callable[[], Inventory],
        volumes: Callable[[], tuple[Volume, ...]],
        hardware: Callable[[], Hardware],
        clock: Clock,
        user: Callable[[], str],
    ) -> None:
        self._facts = facts
        self._volumes = volumes
        self._hardware = hardware
        self._clock = clock
        self._user = user
        self._last_user = ""

    async def observe(self) -> Snapshot:
        """See ``Machine.observe``."""
        at = self._clock.now()
        return Snapshot(await beside(self._inventory, "observe"), at)

    def hardware(self) -> Hardware:
        """See ``Machine.hardware``."""
        try:
            return self._hardware()
        except Exception:  # noqa: BLE001 - facts for an administrator's eyes must not keep an endpoint from enrolling
            return Hardware()

    def _inventory(self) -> Inventory:
        facts = self._with_user(_or(self._facts, Inventory("unknown", "unknown")))
        try:
            return sendable(with_volumes(facts, self._volumes()))
        except Exception as cause:  # noqa: BLE001 - whatever it is, the endpoint still checks in and says so
            detail = f"the volumes could not be read: {type(cause).__name__}"
            return with_volumes(facts, (unknown_volume(detail),))

    def _with_user(self, facts: Inventory) -> Inventory:
        try:
            told = sendable(replace(facts, user=self._user() or self._last_user))
        except Exception:  # noqa: BLE001 - as above
            return facts
        self._last_user = told.user
        return told


def _or(read: Callable[[], Inventory], otherwise: Inventory) -> Inventory:
    try:
        return sendable(read())
    except Exception:  # noqa: BLE001 - as above
        return otherwise


def unknown_volume(detail: str) -> Volume:
    """Stand for volumes nobody could look at."""
    return Volume(id="unknown", encryption=Encryption.UNKNOWN, protection=Protection.UNKNOWN, role="os", detail=detail)


def with_volumes(facts: Inventory, volumes: tuple[Volume, ...]) -> Inventory:
    """Return ``facts`` with volumes in a fixed order, so that equal disks give equal digests."""
    ordered = tuple(sorted(volumes, key=lambda volume: (volume.id, volume.mount)))
    return replace(facts, hostname=facts.hostname or "unknown", volumes=ordered)


def sendable(inventory: Inventory) -> Inventory:
    """Return what a check-in can carry and a server will read; what is cut is said.

    Raises:
        ValueError: a member is outside the limits of the wire.
    """
    volumes = inventory.volumes
    while len(volumes) > MAX_VOLUMES or len(messages.inventory_bytes(inventory)) > MAX_INVENTORY_BYTES:
        volumes = volumes[: min(len(volumes) * 3 // 4, MAX_VOLUMES - 1)]
        cut = (*volumes, unknown_volume("there are more volumes than a check-in can carry"))
        inventory = with_volumes(inventory, cut)
    msgspec.json.decode(messages.inventory_bytes(inventory), type=Inventory)
    return inventory
