"""Incidents, and what was found when each was opened and when it ended."""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.incident import Incident
from keyfast.store.statements import upsert
from keyfast.store.tables import incident

MOST_OPEN = 100


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident with the findings of its last diagnosis."""

    incident: Incident
    findings: tuple[Finding, ...] = ()


class _Document(msgspec.Struct, frozen=True):
    incident: Incident
    findings: tuple[Finding, ...] = ()


async def put(conn: AsyncConnection, row: IncidentRow) -> None:
    """Put an incident on record, or replace it."""
    found = row.incident
    values = {
        "id": found.id,
        "opened_at": found.opened_at,
        "ended_at": found.changed_at if found.ended else None,
        "document": msgspec.to_builtins(_Document(found, row.findings)),
    }
    await upsert(conn, incident, [values])


async def not_ended(conn: AsyncConnection) -> list[IncidentRow]:
    """Return the incidents that have not ended, oldest first."""
    return await _rows(conn, select(incident.c.document).where(incident.c.ended_at.is_(None)).limit(MOST_OPEN))


async def ended_since(conn: AsyncConnection, since: int) -> list[IncidentRow]:
    """Return the incidents that have ended since then (unix seconds), oldest first; there are few in all."""
    return await _rows(conn, select(incident.c.document).where(incident.c.ended_at >= since))


async def get(conn: AsyncConnection, incident_id: str) -> IncidentRow | None:
    """Return an incident."""
    if ids.parse_endpoint_id(incident_id) is None:
        return None
    rows = await _rows(conn, select(incident.c.document).where(incident.c.id == incident_id))
    return rows[0] if rows else None


async def page(conn: AsyncConnection, *, before: str, limit: int) -> list[IncidentRow]:
    """Return incidents, newest first, those before another one (id)."""
    columns = incident.c
    statement = select(columns.document).order_by(columns.opened_at.desc(), columns.id.desc()).limit(limit)
    if before:
        found = await get(conn, before)
        if found is None:
            return []
        at = found.incident.opened_at
        statement = statement.where(tuple_(columns.opened_at, columns.id) < (at, before))
    return [_row(document) for document in await conn.scalars(statement)]


async def _rows(conn: AsyncConnection, found: Select[Any]) -> list[IncidentRow]:
    ordered = found.order_by(incident.c.opened_at, incident.c.id)
    return [_row(document) for document in await conn.scalars(ordered)]


def _row(document: dict[str, object]) -> IncidentRow:
    read = msgspec.convert(document, _Document)
    return IncidentRow(read.incident, read.findings)
