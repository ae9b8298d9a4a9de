"""Rotations and their journal of effects. There are few of them; what they move is in ``rotation_targets``."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.rotation_state import ENDED, RotationState
from keyfast.store.tables import rotation, rotation_effect


@dataclass(frozen=True, slots=True)
class RotationRow:
    """A rotation as stored (times in unix seconds).

    Attributes:
        document: ``core.rotation_state.Rotation`` as JSON.
    """

    id: str
    kind: str
    ring: str
    state: RotationState
    created_at: int
    created_by: str
    updated_at: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One act of a rotation's journal (times in unix seconds).

    Attributes:
        number: its place in the order.
        document: with what it is done, and how far it has come.
        done_at: None while it is not done.
    """

    rotation_id: str
    number: int
    kind: str
    document: dict[str, Any]
    decided_at: int
    done_at: int | None = None


async def create(conn: AsyncConnection, row: RotationRow) -> None:
    """Put a rotation on record."""
    await conn.execute(insert(rotation).values(asdict(row) | {"state": row.state.value}))


async def get(conn: AsyncConnection, rotation_id: str, *, lock: bool = False) -> RotationRow | None:
    """Return a rotation; with ``lock`` nobody else changes it, or its journal, until the commit."""
    if ids.parse_endpoint_id(rotation_id) is None:
        return None
    found = select(rotation).where(rotation.c.id == rotation_id)
    row = (await conn.execute(found.with_for_update() if lock else found)).one_or_none()
    return None if row is None else _row(row)


async def list_page(conn: AsyncConnection, *, limit: int) -> list[RotationRow]:
    """Return rotations, newest first."""
    newest = select(rotation).order_by(rotation.c.created_at.desc(), rotation.c.id.desc()).limit(limit)
    return [_row(row) for row in await conn.execute(newest)]


async def under_way(conn: AsyncConnection) -> list[RotationRow]:
    """Return every rotation that has not ended, or has something left to do, oldest first."""
    left = select(rotation_effect.c.rotation_id).where(rotation_effect.c.done_at.is_(None))
    unfinished = rotation.c.state.not_in([state.value for state in ENDED]) | rotation.c.id.in_(left)
    found = select(rotation).where(unfinished).order_by(rotation.c.created_at, rotation.c.id)
    return [_row(row) for row in await conn.execute(found)]


async def save(conn: AsyncConnection, row: RotationRow) -> None:
    """Replace what is on record; the caller holds the row (``get`` with ``lock``)."""
    values = {"state": row.state.value, "updated_at": row.updated_at, "document": row.document}
    await conn.execute(update(rotation).where(rotation.c.id == row.id).values(values))


async def journal(
    conn: AsyncConnection, rotation_id: str, acts: Iterable[tuple[str, dict[str, Any]]], now: int
) -> None:
    """Write down what was decided, in order; the caller holds the rotation."""
    columns = rotation_effect.c
    last = await conn.scalar(select(func.max(columns.number)).where(columns.rotation_id == rotation_id)) or 0
    rows = [
        {
            "rotation_id": rotation_id,
            "number": number,
            "kind": kind,
            "document": document,
            "decided_at": now,
            "done_at": None,
        }
        for number, (kind, document) in enumerate(acts, last + 1)
    ]
    if rows:
        await conn.execute(insert(rotation_effect), rows)


async def effects(conn: AsyncConnection, rotation_id: str, *, undone: bool = False) -> list[EffectRow]:
    """Return a rotation's journal in order; with ``undone`` only what is left to do."""
    columns = rotation_effect.c
    found = select(rotation_effect).where(columns.rotation_id == rotation_id).order_by(columns.number)
    return [EffectRow(*row) for row in await conn.execute(found.where(columns.done_at.is_(None)) if undone else found)]


async def newest_effects(conn: AsyncConnection, rotation_id: str, *, limit: int) -> list[EffectRow]:
    """Return the newest so many acts of a rotation's journal, in order."""
    columns = rotation_effect.c
    found = select(rotation_effect).where(columns.rotation_id == rotation_id).order_by(columns.number.desc())
    return [EffectRow(*row) for row in await conn.execute(found.limit(limit))][::-1]


async def effect(conn: AsyncConnection, rotation_id: str, number: int) -> EffectRow | None:
    """Return one act of the journal."""
    columns = rotation_effect.c
    found = select(rotation_effect).where(columns.rotation_id == rotation_id, columns.number == number)
    row = (await conn.execute(found)).one_or_none()
    return None if row is None else EffectRow(*row)


async def progress(conn: AsyncConnection, row: EffectRow, document: dict[str, Any], done_at: int | None) -> None:
    """Note how far an act has come, or that it is done."""
    columns = rotation_effect.c
    await conn.execute(
        update(rotation_effect)
        .where(columns.rotation_id == row.rotation_id, columns.number == row.number)
        .values(document=document, done_at=done_at)
    )


def _row(row: Row[Any]) -> RotationRow:
    found = row._asdict()
    return RotationRow(**(found | {"state": RotationState(found["state"])}))
