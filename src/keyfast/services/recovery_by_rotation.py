"""The rotation behind a guided recovery: planned for one account, released at once, ended when all are back."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from keyfast.core.command import CommandState
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import ENDED, RotationEvent, RotationState
from keyfast.errors import ConflictError
from keyfast.services.recovery_rotations import OAUTH, Progress, UnderWay
from keyfast.services.rotate import MAX_WAIVED, RotationService
from keyfast.services.rotation_ledger import Also, rotation_of
from keyfast.store import rotation_counts, rotations
from keyfast.store.database import Database
from keyfast.wire.rotation import RotationOrder

BY = "keyfast recover"
GIVEN_UP = "missing when the recovery was ended"
NOT_RELEASED = frozenset({RotationState.DRAFT, RotationState.PREPARED})


class RecoveryRotations:
    """Implements ``services.recovery_options.Rotations``. Every act may be repeated.

    Args:
        service: plans and leads rotations.
        database: the store.
    """

    def __init__(self, service: RotationService, database: Database) -> None:
        self._service = service
        self._database = database

    async def under_way(self) -> UnderWay | None:
        """See ``Rotations.under_way``."""
        async with self._database.read() as conn:
            found = [row for row in await rotations.under_way(conn) if row.kind == Kind.RECOVERY]
            row = next((row for row in found if row.state not in ENDED), None)
            if row is None:
                return None
            left = await rotations.effects(conn, row.id, undone=True)
        plan = rotation_of(row).plan
        started = row.state not in NOT_RELEASED and not left
        return UnderWay(row.id, plan.source, plan.target or OAUTH, started, row.created_at)

    async def plan_recovery(self, account: str, to: str, way: str, by: str) -> str:
        """See ``Rotations.plan_recovery``: nothing is soaked or kept, since what was there before is broken."""
        mode, target = ("oauth", "") if to == OAUTH else ("windows", to)
        order = RotationOrder(
            Kind.RECOVERY.value,
            source=account,
            target=target,
            mode=mode,
            soak_s=0,
            drain_s=0,
            restart_proof=False,
        )
        begun = Also(kind="recovery_begun", detail={"account": account, "way": way, "to": to, "by": by})
        return (await self._service.plan(order, by, begun)).id

    async def start(self, rotation: str) -> None:
        """See ``Rotations.start``; the rotation's job releases the changes."""
        view = await self._service.show(rotation)
        if view.state == RotationState.DRAFT:
            await self._service.act(rotation, RotationEvent.STARTED, BY)

    async def progress(self, rotation: str, names: int) -> Progress:
        """See ``Rotations.progress``."""
        found, missing = await self._service.progress(rotation, names)
        states: Counter[CommandState] = Counter()
        for count in found:
            states[count.state] += count.number
        return Progress(dict(states), tuple(row.name for row in missing))

    async def give_up(self, rotation: str, names: tuple[str, ...] | None, by: str) -> None:
        """See ``Rotations.give_up``; whoever is given up may still come, and is served then.

        Raises:
            ConflictError: one of them is in the middle of its change.
        """
        while True:
            async with self._database.read() as conn:
                counts = await rotation_counts.counts(conn, rotation)
                left = await rotation_counts.missing(conn, rotation, counts, limit=MAX_WAIVED)
            wanted = [row.endpoint_id for row in left if names is None or {row.name, row.endpoint_id} & {*names}]
            if not wanted:
                return
            if not await self._service.waive(rotation, wanted, GIVEN_UP, by):
                raise ConflictError(f"{left[0].name} is in the middle of its change; try again in a minute")
            if names is not None:
                return

    async def finish(self, rotation: str, told: Mapping[str, Any]) -> None:
        """See ``Rotations.finish``.

        Raises:
            ConflictError: it cannot end yet; the message says why.
        """
        if (await self._service.show(rotation)).state == RotationState.EMERGENCY:
            with contextlib.suppress(ConflictError):  # the rotation's job may be first
                await self._service.act(rotation, RotationEvent.CONVERGED, BY)
        if (await self._service.show(rotation)).state != RotationState.DONE:
            ended = Also(kind="recovery_finished", detail=told)
            await self._service.act(rotation, RotationEvent.FINISHED, BY, also=ended)
