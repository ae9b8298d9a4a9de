"""Rotations, for administrators: plan, look ahead, start, pause, go back, waive, retire, finish."""

import uuid
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core import rotation as lifecycle
from keyfast.core.command import CommandState
from keyfast.core.directory import PasswordDirectory
from keyfast.core.rotation_evidence import MOVED, Count, Evidence, Impact
from keyfast.core.rotation_plan import Plan, cuts
from keyfast.core.rotation_state import ENDED, Rotation, RotationEvent, RotationState
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.rotation_evidence import collect, scope_of
from keyfast.services.rotation_ledger import Also, RotationLedger, changed_row, locked, rotation_of, tell_also
from keyfast.services.rotation_planning import planned
from keyfast.store import events, rotation_counts, rotation_targets, rotations
from keyfast.store.database import Database
from keyfast.store.rotation_counts import MissingRow
from keyfast.store.rotations import RotationRow
from keyfast.wire.rotation import (
    ActView,
    MissingView,
    PreviewView,
    RotationLine,
    RotationOrder,
    RotationView,
    StepView,
    WaveView,
)

MAX_WAIVED = 1000
LISTED = 200


class RotationService:
    """What administrators do with rotations.

    Args:
        database: the store.
        ledger: reads and writes rotations.
        directory: where accounts are.
        clock: unix seconds.
        entropy: random bytes.
    """

    def __init__(
        self,
        database: Database,
        ledger: RotationLedger,
        directory: PasswordDirectory,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._directory = directory
        self._clock = clock
        self._entropy = entropy

    async def preview(self, order: RotationOrder) -> PreviewView:
        """Say what a rotation would touch; nothing is written.

        Raises:
            UsageError: the order makes no sense.
        """
        now = int(self._clock())
        async with self._database.read() as conn:
            plan = await planned(conn, order, self._directory)
            impact = await self._impact(conn, plan, now)
            draft = self._draft(plan, "", now, rotation_targets.ZERO)
            evidence = await collect(conn, draft, rotation_of(draft), now)
        against = lifecycle.why_not(rotation_of(draft), RotationEvent.STARTED, evidence, now)
        return PreviewView(
            kind=plan.kind.value,
            source=plan.source,
            target=plan.target,
            mode=plan.mode,
            sets_password=plan.sets_password,
            targets=impact.targets,
            seen_7d=impact.seen_7d,
            seen_30d=impact.seen_30d,
            seen_90d=impact.seen_90d,
            offline=impact.offline,
            recovering=impact.recovering,
            stranded=impact.stranded,
            waves=impact.waves,
            against=tuple(reason for reason in against if "approve" not in reason),
        )

    async def plan(self, order: RotationOrder, by: str, also: Also | None = None) -> RotationView:
        """Put a plan on record, and tell of ``also``; who plans it also approves it.

        Raises:
            UsageError: the order makes no sense.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            made = await planned(conn, order, self._directory)
            row = self._draft(made, by, now, str(uuid.UUID(bytes=self._entropy(16), version=4)))
            await rotations.create(conn, row)
            detail = {
                "rotation": row.id,
                "kind": row.kind,
                "ring": row.ring,
                "source": made.source,
                "target": made.target,
                "by": by,
            }
            await events.add(conn, at=now, kind="rotation_planned", endpoint_id=None, detail=detail)
            await tell_also(conn, also, row.id, now)
        return await self.show(row.id)

    async def list_(self, limit: int) -> list[RotationLine]:
        """Return rotations, newest first."""
        async with self._database.read() as conn:
            rows = await rotations.list_page(conn, limit=limit)
        return [_line(row, rotation_of(row)) for row in rows]

    async def show(self, rotation_id: str, limit: int = 20) -> RotationView:
        """Return everything about a rotation, with the names of at most ``limit`` endpoints that are missing."""
        row = await self._ledger.row(rotation_id)
        evidence = await self._ledger.told(row)
        async with self._database.read() as conn:
            missing = await rotation_counts.missing(conn, row.id, evidence.counts, limit=limit)
            acts = await rotations.newest_effects(conn, row.id, limit=LISTED)
        return _view(row, rotation_of(row), evidence, missing, acts, int(self._clock()))

    async def progress(self, rotation_id: str, limit: int) -> tuple[tuple[Count, ...], list[MissingRow]]:
        """Return how many changes of a rotation are in which state, and at most so many endpoints that are missing."""
        counts = (await self._ledger.told(await self._ledger.row(rotation_id))).counts
        async with self._database.read() as conn:
            return counts, await rotation_counts.missing(conn, rotation_id, counts, limit=limit)

    async def approve(self, rotation_id: str, name: str) -> RotationView:
        """Note that somebody agrees.

        Raises:
            UsageError: there is no name.
            TransitionError: it has started already.
        """
        if not name.strip():
            raise UsageError("say who approves it", repair="keyfast rotation approve ID --by NAME")
        return await self.act(rotation_id, RotationEvent.APPROVED, name.strip())

    async def act(
        self, rotation_id: str, event: RotationEvent, by: str, reason: str = "", also: Also | None = None
    ) -> RotationView:
        """Take a rotation through an event, and tell of ``also``.

        Raises:
            ConflictError: something stands against it; the message says what.
            TransitionError: that can never happen in this phase.
        """
        row = await self._ledger.apply(await self._ledger.row(rotation_id), event, by, reason, also)
        return await self.show(row.id)

    async def waive(self, rotation_id: str, endpoints: Iterable[str], reason: str, by: str) -> tuple[str, ...]:
        """Wait no more for these endpoints; they may still come and take the change.

        Raises:
            UsageError: no reason is given, or too many or none are named.
            NotFoundError: an endpoint is unknown or its name is not unique.
        """
        row, wanted = await self._ledger.row(rotation_id), tuple(dict.fromkeys(endpoints))
        if not reason.strip():
            raise UsageError("a waiver has a reason", repair="--reason TEXT")
        if not 0 < len(wanted) <= MAX_WAIVED:
            raise UsageError(f"name 1 to {MAX_WAIVED} endpoints")
        now = int(self._clock())
        async with self._database.write() as conn:
            held = await locked(conn, row.id)
            names = [text for text in wanted if ids.parse_endpoint_id(text) is None]
            known = await rotation_counts.named(conn, names) if names else {}
            if unknown := [name for name in names if name not in known]:
                raise NotFoundError(f"no endpoint is named {unknown[0]}, or several are", repair="name it by its id")
            asked = [known.get(text, text) for text in wanted]
            detail = f"waived by {by}: {reason.strip()}"[:400]
            waived = await rotation_targets.waive(conn, held.id, asked, detail=detail, now=now)
            for endpoint_id in waived:
                told = {"rotation": held.id, "by": by, "reason": reason.strip()}
                await events.add(conn, at=now, kind="rotation_waived", endpoint_id=endpoint_id, detail=told)
        return tuple(waived)

    def _draft(self, plan: Plan, by: str, now: int, rotation_id: str) -> RotationRow:
        rotation = Rotation(plan, since=now, approvals=(by,) if by else ())
        blank = RotationRow(rotation_id, plan.kind.value, plan.ring, RotationState.DRAFT, now, by, now, {})
        return changed_row(blank, rotation, now)

    async def _impact(self, conn: AsyncConnection, plan: Plan, now: int) -> Impact:
        if not plan.has_targets:
            return Impact(0, 0, 0, 0, 0, 0, 0, 0)
        found = await rotation_counts.tally(conn, scope_of(plan), now)
        steps = cuts(plan, found["targets"])
        return Impact(
            targets=found["targets"],
            seen_7d=found["seen_7d"],
            seen_30d=found["seen_30d"],
            seen_90d=found["seen_90d"],
            offline=found["offline"],
            # A former key stays good for recovery: there is nothing to take away.
            stranded=found["keyless"] if plan.moves_access else 0,
            recovering=found["targets"] - found["keyless"] if plan.moves_access else 0,
            longest_gap_s=now - found["first"],
            waves=tuple(after - before for before, after in zip((0, *steps), steps, strict=False)),
        )


def _line(row: RotationRow, rotation: Rotation) -> RotationLine:
    return RotationLine(
        id=row.id,
        kind=row.kind,
        ring=row.ring,
        state=row.state.value,
        paused=rotation.paused,
        created_at=row.created_at,
        created_by=row.created_by,
        targets=rotation.facts.targets,
        moved=rotation.moved,
    )


def _view(
    row: RotationRow,
    rotation: Rotation,
    evidence: Evidence,
    missing: Iterable[MissingRow],
    acts: Iterable[rotations.EffectRow],
    now: int,
) -> RotationView:
    plan = rotation.plan
    return RotationView(
        id=row.id,
        kind=row.kind,
        ring=row.ring,
        state=row.state.value,
        since=rotation.since,
        paused=rotation.paused,
        created_at=row.created_at,
        created_by=row.created_by,
        source=plan.source,
        target=plan.target,
        mode=plan.mode,
        urls=plan.urls,
        approvals=rotation.approvals,
        approvals_needed=plan.approvals,
        targets=rotation.facts.targets,
        moved=evidence.number(MOVED),
        verified=evidence.number({CommandState.VERIFIED}),
        waived=evidence.number({CommandState.WAIVED}),
        wave=rotation.wave,
        waves=_waves(evidence),
        steps=_steps(rotation, evidence, now),
        acts=tuple(_act(act) for act in acts),
        missing=tuple(msgspec.convert(_missing(found), MissingView) for found in missing),
        finished=row.state in ENDED,
    )


def _waves(evidence: Evidence) -> tuple[WaveView, ...]:
    waves: dict[int, dict[str, int]] = {}
    for found in evidence.counts:
        waves.setdefault(found.wave, {})[found.state.value] = found.number
    return tuple(WaveView(wave, states) for wave, states in sorted(waves.items()))


def _steps(rotation: Rotation, evidence: Evidence, now: int) -> tuple[StepView, ...]:
    """Every step that the phase allows; pauses of its own are told by ``paused``."""
    by_itself = lifecycle.BY_ITSELF.get(rotation.state, ())
    return tuple(
        StepView(event.value, event in by_itself, lifecycle.why_not(rotation, event, evidence, now))
        for state, event in lifecycle.TABLE
        if state is rotation.state
    )


def _act(act: rotations.EffectRow) -> ActView:
    trouble = "" if act.done_at else str(act.document.get("trouble", ""))
    return ActView(act.number, act.kind, act.decided_at, act.done_at or 0, trouble)


def _missing(found: MissingRow) -> dict[str, str | int]:
    return {
        "id": found.endpoint_id,
        "name": found.name,
        "wave": found.wave,
        "state": found.state.value,
        "detail": found.detail,
        "seen_at": found.seen_at,
    }
