"""Policies: every version is kept, the newest is in force."""

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.tables import policy
from keyfast.wire.messages import Policy


async def newest(conn: AsyncConnection) -> Policy | None:
    """Return the policy in force."""
    document = await conn.scalar(select(policy.c.document).order_by(policy.c.version.desc()).limit(1))
    return None if document is None else msgspec.json.decode(document, type=Policy)


async def add(conn: AsyncConnection, content: Policy, *, created_at: int) -> None:
    """Put a new version in force (unix seconds); a version that exists is an IntegrityError."""
    document = msgspec.json.encode(content).decode()
    await conn.execute(insert(policy).values(version=content.version, created_at=created_at, document=document))
