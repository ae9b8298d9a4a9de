"""A fleet in front of a server on a real domain, and an administrator who leads its rotations."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.fleet import RigFleet
from tests.support.samba import Account
from tests.support.windows import WindowsServer

from keyfast.agent.client_database import Record
from keyfast.agent.evidence import chain_of, profile_in
from keyfast.errors import KeyfastError
from keyfast.wire.rotation import RotationOrder, RotationView

SCHEMES = ("Negotiate", "NTLM", "Basic")
QUICK = {"soak_s": 1, "drain_s": 1, "refused_s": 1, "backup_s": 1, "active_s": 15, "canary_most": 3}
"""Seconds instead of months; whoever was not seen for a quarter of a minute comes late."""


class Site:
    """A server with a fleet in Windows mode, led at the command line.

    Args:
        server: in front of a domain.
        account: what the endpoints are enrolled with; it is on record.
        number: of endpoints.
        offline: of those, how many an administrator cannot reach.
        schemes: they take turns with these; who has an empty one hears all that the server offers.
    """

    def __init__(
        self,
        server: WindowsServer,
        account: Account,
        number: int,
        offline: int = 0,
        schemes: Sequence[str] = SCHEMES,
    ) -> None:
        self.server, self.account = server, account
        bundle = server.windows_bundle(account)
        rigs = [server.rig(bundle, n, only=schemes[n % len(schemes)]) for n in range(number)]
        self.fleet = RigFleet(rigs)
        self.late, self.present = rigs[:offline], rigs[offline:]

    def plan(self, kind: str, **members: Any) -> str:
        """``keyfast rotation plan`` and ``start``; return its id."""
        order = RotationOrder(kind, **(QUICK | members))
        made = self.server.admin.post("/admin/v1/rotations", RotationView, order).id
        self.act(made, "start")
        return made

    def act(self, rotation: str, act: str) -> RotationView:
        return self.server.admin.post(f"/admin/v1/rotations/{rotation}/{act}", RotationView)

    async def acted(self, rotation: str, act: str, seconds: float = 120) -> None:
        """Take a step as soon as nothing stands against it, and have it carried out."""
        for _ in range(int(seconds)):
            try:
                await asyncio.to_thread(self.act, rotation, act)
                break
            except KeyfastError as fault:
                why = fault.message
            await self.fleet.visit()
            await asyncio.sleep(1)
        else:
            raise AssertionError(f"{act}: {why}")
        for _ in range(int(seconds)):
            if all(done.done_at for done in (await asyncio.to_thread(self.rotation, rotation)).acts):
                return
            await asyncio.sleep(1)
        raise AssertionError(self.rotation(rotation).acts)

    def rotation(self, rotation: str) -> RotationView:
        return self.server.admin.get(f"/admin/v1/rotations/{rotation}", RotationView)

    async def reached(self, rotation: str, state: str, *, seconds: float = 240) -> RotationView:
        """Wait until a rotation is in a phase, while the fleet goes on."""
        for _ in range(int(seconds / 0.5)):
            view = await asyncio.to_thread(self.rotation, rotation)
            if view.state == state:
                return view
            assert not view.paused, view
            await asyncio.sleep(0.5)
        raise AssertionError(f"{state} is awaited: {view}")

    async def pauses(self, rotation: str, *, seconds: float = 80) -> RotationView:
        """Wait until a rotation has paused by itself, and every endpoint that it was offered to is done with it."""
        for _ in range(int(seconds / 0.5)):
            view = await asyncio.to_thread(self.rotation, rotation)
            if view.paused and not set(view.waves[0].states) - IDLE and all(act.done_at for act in view.acts):
                return view
            await asyncio.sleep(0.5)
        raise AssertionError(f"a pause is awaited: {view}")


IDLE = {"planned", "failed", "reverted", "applied", "verified"}


@dataclass(frozen=True)
class Accessed:
    """What an endpoint uses: everything of it but the number of its access profile."""

    mode: str
    urls: tuple[str, ...]
    ca: str
    account: str
    password: str
    generation: int


def accessed(record: Record) -> Accessed:
    """What an agent's record says that it uses."""
    profile = profile_in(chain_of(record), record.slots.current).profile
    return Accessed(
        record.mode,
        profile.urls,
        profile.ca,
        record.account_name,
        record.account_password,
        record.credential_generation,
    )
