"""Nodes: each says what it accepts before it serves, and again whenever that changes."""

import asyncio
from collections.abc import Callable

from keyfast.core.generation import GONE
from keyfast.core.node import Accepts, Node
from keyfast.errors import NotFoundError
from keyfast.services.live import Live, LiveState
from keyfast.store import events, nodes
from keyfast.store.database import Database

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 60
"""A node that has nothing new to say says it again after so long, for people who look at the list."""


def accepts(live: Live) -> Accepts:
    """Say what a reading accepts, in an order of its own."""
    secrets, _ = live.keyset.access_token_keys()
    return Accepts(
        profile_seq=live.highest_profile,
        modes=tuple(sorted((ring, mode.value) for ring, mode in live.modes.rows)),
        generations=tuple(
            sorted(
                (account.key, row.generation)
                for account in live.accounts.values()
                for row in account.generations.values()
                if row.state not in GONE
            )
        ),
        token_keys=tuple(sorted(secrets)),
    )


class NodeVoice:
    """One node's own word, from the reading by which it judges requests."""

    def __init__(self, live: LiveState, database: Database, name: str, clock: Callable[[], float]) -> None:
        self._live = live
        self._database = database
        self._name = name
        self._clock = clock
        self._started_at = int(clock())
        self._told: Node | None = None

    async def tell(self) -> None:
        """Say what is accepted, if that is new or was said long ago; call it once before serving.

        Raises:
            NotReadyError: the store is down.
        """
        now, said = int(self._clock()), accepts(self._live.current)
        if self._told and self._told.accepts == said and now < self._told.seen_at + AGAIN_SECONDS:
            return
        told = Node(self._name, self._started_at, now, said)
        async with self._database.write() as conn:
            await nodes.tell(conn, told)
        self._told = told

    async def leave(self) -> None:
        """Say that this node serves no more."""
        async with self._database.write() as conn:
            await nodes.forget(conn, self._name)

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Tell for ever; what cannot be written now is written later."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.tell()
            except Exception as cause:  # noqa: BLE001 - whatever it is, check-ins go on and it is told later
                failed(cause)


class NodeService:
    """The list of nodes, for administrators."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def list_(self) -> list[Node]:
        """All nodes."""
        async with self._database.read() as conn:
            return await nodes.load(conn)

    async def forget(self, name: str, by: str) -> None:
        """Wait for a node no longer: it was taken out of service without a word."""
        async with self._database.write() as conn:
            if not await nodes.forget(conn, name):
                raise NotFoundError(f"no node {name}", repair="keyfast server nodes")
            await events.add(
                conn, at=int(self._clock()), kind="node_forgotten", endpoint_id=None, detail={"node": name, "by": by}
            )
