"""The runner of rotations: does what was decided, looks at what came of it, and lets happen what happens by itself.

It may die between any two of its steps; the next one goes on from what is written down.
"""

from collections.abc import Callable

from keyfast.core.rotation_effects import DESTRUCTIVE, LASTING, EffectKind
from keyfast.core.rotation_state import RotationState
from keyfast.errors import KeyfastError
from keyfast.services.follow import follow
from keyfast.services.rotation_acts import RotationActs
from keyfast.services.rotation_ledger import RotationLedger
from keyfast.store import installations, rotations
from keyfast.store.database import Database
from keyfast.store.rotations import EffectRow, RotationRow

TICK_SECONDS = 1.0
RETRY_SECONDS = 20
"""Before an act that could not be done is tried again."""
SETTLED_SECONDS = 60
"""Between two looks at a rotation that only waits: those read every endpoint."""
SETTLED = frozenset({RotationState.DRAINING, RotationState.REFUSED})
PORTIONS = 50
"""Portions of one act in a row, before other rotations have their turn."""


class RotationRunner:
    """One per admin process; several nodes may run at the same time, as every step holds its rotation.

    Args:
        database: the store.
        ledger: reads and writes rotations.
        acts: does effects.
        clock: unix seconds.
    """

    def __init__(
        self, database: Database, ledger: RotationLedger, acts: RotationActs, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._acts = acts
        self._clock = clock
        self._looked: dict[str, float] = {}

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Run for ever."""
        await follow(self.tick, TICK_SECONDS, failed)

    async def tick(self) -> None:
        """Take every rotation as far as it goes now.

        Raises:
            NotReadyError: the store is down.
            Exception: the first fault of a rotation, once all others had their turn.
        """
        async with self._database.read() as conn:
            rows = await rotations.under_way(conn)
        faults: list[Exception] = []
        for row in rows:
            try:
                await self._perform(row)
                if self._is_due(row):
                    await self._ledger.advance(await self._ledger.row(row.id))
            except Exception as cause:  # noqa: BLE001 - one that fails holds up no other; told when all had their turn
                faults.append(cause)
        if faults:
            raise faults[0]

    async def _perform(self, row: RotationRow) -> None:
        """Do what is left to do, in order; what lasts does not hold up what comes after it."""
        async with self._database.read() as conn:
            undone = await rotations.effects(conn, row.id, undone=True)
            installation = await installations.get(conn)
        restored = installation is not None and installation.restored_at > 0
        for effect in undone:
            kind = EffectKind(effect.kind)
            waits = int(effect.document.get("retry_at", 0)) > self._clock()
            if waits or (restored and kind in DESTRUCTIVE):
                return
            if not await self._portions(row, effect, 1 if kind in LASTING else PORTIONS) and kind not in LASTING:
                return

    async def _portions(self, row: RotationRow, effect: EffectRow, most: int) -> bool:
        try:
            for _ in range(most):
                if await self._acts.perform(row, effect):
                    return True
        except KeyfastError as fault:
            await self._note(effect, fault)
        return False

    async def _note(self, effect: EffectRow, fault: KeyfastError) -> None:
        """Write down why an act could not be done, for whoever looks; messages of faults hold no secrets."""
        trouble = f"{fault.message}; {fault.repair}".removesuffix("; ")
        async with self._database.write() as conn:
            await rotations.get(conn, effect.rotation_id, lock=True)
            known = await rotations.effect(conn, effect.rotation_id, effect.number)
            if known is not None and known.done_at is None:
                document = known.document | {"trouble": trouble, "retry_at": int(self._clock()) + RETRY_SECONDS}
                await rotations.progress(conn, known, document, None)

    def _is_due(self, row: RotationRow) -> bool:
        if row.state not in SETTLED:
            return True
        now = self._clock()
        if now < self._looked.get(row.id, 0.0) + SETTLED_SECONDS:
            return False
        self._looked[row.id] = now
        return True
