"""Policies: every version is kept, the newest is in force."""

from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.errors import ConflictError
from keyfast.store.statements import insert_once
from keyfast.store.tables import policy
from keyfast.wire.messages import Policy


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy, and since when it is in force (unix seconds)."""

    content: Policy
    created_at: int


async def in_force(conn: AsyncConnection) -> PolicyRow | None:
    """Return the policy in force, None before there is one."""
    newest = select(policy.c.document, policy.c.created_at).order_by(policy.c.version.desc()).limit(1)
    row = (await conn.execute(newest)).one_or_none()
    return None if row is None else PolicyRow(msgspec.json.decode(row.document, type=Policy), row.created_at)


async def newest(conn: AsyncConnection) -> Policy | None:
    """Return what the policy in force says."""
    row = await in_force(conn)
    return None if row is None else row.content


async def add(conn: AsyncConnection, content: Policy, *, created_at: int) -> None:
    """Put a new version in force (unix seconds).

    Raises:
        ConflictError: this version exists; nothing was written.
    """
    document = msgspec.json.encode(content).decode()
    row = {"version": content.version, "created_at": created_at, "document": document}
    if not await insert_once(conn, policy, row):
        raise ConflictError("somebody else changed the policy just now", repair="keyfast policy show")
