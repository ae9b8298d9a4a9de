"""The record of rotations: every step is decided on evidence and written down with what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import rotation as lifecycle
from keyfast.core.rotation_evidence import Evidence
from keyfast.core.rotation_state import Rotation, RotationEvent, RotationState
from keyfast.errors import ConflictError, NotFoundError
from keyfast.services.rotation_evidence import collect
from keyfast.store import events, rotations
from keyfast.store.database import Database
from keyfast.store.rotations import RotationRow

TRIES = 3
LARGE = 20_000
"""Targets of a rotation beyond which nobody counts them anew for each look at it."""
KEPT_SECONDS = 120
"""For so long what was counted is good enough to look at; the rotation's job counts at least every minute."""


@dataclass(frozen=True, slots=True)
class Also:
    """Another event that a step of a rotation is; the rotation's id is added to its particulars."""

    kind: str
    detail: Mapping[str, Any]


class RotationLedger:
    """Reads rotations and takes them through events.

    Args:
        database: the store.
        clock: unix seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._kept: dict[tuple[str, RotationState], tuple[float, Evidence]] = {}

    async def row(self, rotation_id: str) -> RotationRow:
        """Return a rotation; its id may be cut short.

        Raises:
            NotFoundError: there is none, or more than one that begins so.
        """
        async with self._database.read() as conn:
            found = await rotations.get(conn, rotation_id)
            short = [] if found else [r for r in await rotations.list_page(conn, limit=1000) if _is(r, rotation_id)]
        if found is None and len(short) == 1:
            return short[0]
        if found is None:
            raise NotFoundError(f"no rotation {rotation_id}", repair="keyfast rotation list")
        return found

    async def evidence(self, row: RotationRow) -> Evidence:
        """Collect what is known of a rotation now, for who decides."""
        async with self._database.read() as conn:
            found = await collect(conn, row, rotation_of(row), int(self._clock()))
        if rotation_of(row).facts.targets > LARGE:
            self._kept = {key: kept for key, kept in self._kept.items() if self._is_good(kept[0])}
            self._kept[row.id, row.state] = (self._clock(), found)
        return found

    async def told(self, row: RotationRow) -> Evidence:
        """Return what is known of a rotation, for who looks at it: of a large one what its job counted last."""
        kept = self._kept.get((row.id, row.state))
        return kept[1] if kept is not None and self._is_good(kept[0]) else await self.evidence(row)

    def _is_good(self, at: float) -> bool:
        return 0 <= self._clock() - at < KEPT_SECONDS

    async def apply(
        self, row: RotationRow, event: RotationEvent, by: str, reason: str = "", also: Also | None = None
    ) -> RotationRow:
        """Take a rotation through an event that somebody asked for; tell of ``also`` if that comes to pass.

        Raises:
            ConflictError: something stands against it.
        """
        for _ in range(TRIES):
            written = await self.write(row, event, await self.evidence(row), by, reason, also)
            if written is not None:
                return written
            row = await self.row(row.id)
        raise ConflictError(f"rotation {row.id} is changing; try again")

    async def advance(self, row: RotationRow) -> RotationRow | None:
        """Take a rotation through what happens by itself now; None if that is nothing."""
        evidence, now = await self.evidence(row), int(self._clock())
        before = rotation_of(row)
        seen = lifecycle.observe(before, evidence, now)
        happening = lifecycle.due(seen, evidence, now)
        if happening is not None:
            return await self.write(row, happening[0], evidence, "", happening[1])
        if seen is not before:
            await self._note(row, seen)
        return None

    async def write(
        self,
        row: RotationRow,
        event: RotationEvent,
        evidence: Evidence,
        by: str,
        reason: str,
        also: Also | None = None,
    ) -> RotationRow | None:
        """Decide and write a step, with what is to be done; None if the rotation is not any more what ``row`` says.

        Raises:
            ConflictError: something stands against it.
        """
        now = int(self._clock())
        seen = lifecycle.observe(rotation_of(row), evidence, now)
        after, acts = lifecycle.step(seen, event, evidence, now, by=by, reason=reason)
        async with self._database.write() as conn:
            if await rotations.get(conn, row.id, lock=True) != row:
                return None
            changed = changed_row(row, after, now)
            await rotations.save(conn, changed)
            await rotations.journal(conn, row.id, [(act.kind.value, dict(act.document)) for act in acts], now)
            detail = {"rotation": row.id, "kind": row.kind, "by": by, "reason": reason}
            told = {name: value for name, value in detail.items() if value}
            await events.add(conn, at=now, kind=f"rotation_{event.value}", endpoint_id=None, detail=told)
            await tell_also(conn, also, row.id, now)
        return changed

    async def _note(self, row: RotationRow, seen: Rotation) -> None:
        async with self._database.write() as conn:
            if await rotations.get(conn, row.id, lock=True) == row:
                await rotations.save(conn, changed_row(row, seen, row.updated_at))


async def tell_also(conn: AsyncConnection, also: Also | None, rotation_id: str, now: int) -> None:
    """Tell of something else about a rotation in the transaction that makes it so: neither twice nor never."""
    if also is not None:
        detail = {**also.detail, "rotation": rotation_id}
        await events.add(conn, at=now, kind=also.kind, endpoint_id=None, detail=detail)


def rotation_of(row: RotationRow) -> Rotation:
    """Decode a rotation."""
    return msgspec.convert(row.document, Rotation)


def changed_row(row: RotationRow, rotation: Rotation, now: int) -> RotationRow:
    """Encode a rotation in place of what ``row`` holds."""
    document = msgspec.json.decode(msgspec.json.encode(rotation))
    return RotationRow(row.id, row.kind, row.ring, rotation.state, row.created_at, row.created_by, now, document)


async def locked(conn: AsyncConnection, rotation_id: str) -> RotationRow:
    """Return a rotation and hold it until the commit."""
    row = await rotations.get(conn, rotation_id, lock=True)
    if row is None:
        raise NotFoundError(f"no rotation {rotation_id}")
    return row


def _is(row: RotationRow, text: str) -> bool:
    return len(text) >= 4 and row.id.startswith(text)  # noqa: PLR2004 - fewer digits name many
