"""The rotation behind a guided recovery: planned for one account, released at once, ended when all are back."""

import contextlib
from collections import Counter

from keyfast.core.command import CommandState
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import ENDED, RotationEvent, RotationState
from keyfast.errors import ConflictError
from keyfast.services.recovery_options import OAUTH, Progress, UnderWay
from keyfast.services.rotate import MAX_WAIVED, RotationService
from keyfast.services.rotation_ledger import rotation_of
from keyfast.store import rotation_counts, rotations
from keyfast.store.database import Database
from keyfast.wire.rotation import RotationOrder

BY = "keyfast recover"
GIVEN_UP = "missing when the recovery was ended"


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
            rows = await rotations.under_way(conn)
        row = next((row for row in rows if row.kind == Kind.RECOVERY and row.state not in ENDED), None)
        if row is None:
            return None
        plan = rotation_of(row).plan
        return UnderWay(row.id, plan.source, plan.target or OAUTH, row.state is not RotationState.DRAFT, row.created_at)

    async def plan_recovery(self, account: str, to: str, by: str) -> str:
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
        return (await self._service.plan(order, by)).id

    async def start(self, rotation: str) -> None:
        """See ``Rotations.start``; the rotation's job releases the changes."""
        view = await self._service.show(rotation)
        if view.state == RotationState.DRAFT:
            await self._service.act(rotation, RotationEvent.STARTED, BY)

    async def progress(self, rotation: str, names: int) -> Progress:
        """See ``Rotations.progress``."""
        async with self._database.read() as conn:
            found = await rotation_counts.counts(conn, rotation)
            missing = await rotation_counts.missing(conn, rotation, limit=names)
        states: Counter[CommandState] = Counter()
        for count in found:
            states[count.state] += count.number
        return Progress(dict(states), tuple(row.name for row in missing))

    async def finish(self, rotation: str) -> None:
        """See ``Rotations.finish``: whoever is missing is given up by name; it may still come and be served.

        Raises:
            ConflictError: it cannot end yet; the message says why.
        """
        while True:
            async with self._database.read() as conn:
                left = await rotation_counts.missing(conn, rotation, limit=MAX_WAIVED)
            if not left:
                break
            waived = await self._service.waive(rotation, [row.endpoint_id for row in left], GIVEN_UP, BY)
            if not waived:
                raise ConflictError(f"{left[0].name} is in the middle of its change; try again")
        with contextlib.suppress(ConflictError):  # the rotation's job may have been first
            await self._service.act(rotation, RotationEvent.CONVERGED, BY)
        if (await self._service.show(rotation)).state != RotationState.DONE:
            await self._service.act(rotation, RotationEvent.FINISHED, BY)
