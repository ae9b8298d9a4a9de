"""Acts that wait for a second person."""

from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Row, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.approval import Approval, ApprovalState
from keyfast.core.role import NAMED
from keyfast.store.tables import approval


async def add(conn: AsyncConnection, row: Approval, digest_sealed: str) -> None:
    """Put one on record, with the digest of its request, sealed and bound to ``approval/<id>``."""
    values = asdict(row) | {"permission": row.permission.value, "state": row.state.value}
    await conn.execute(insert(approval).values(values | {"digest_sealed": digest_sealed}))


async def get(conn: AsyncConnection, approval_id: str) -> tuple[Approval, str] | None:
    """Return one and the sealed digest of its request; it is held until the transaction ends."""
    if ids.parse_endpoint_id(approval_id) is None:
        return None
    row = (await conn.execute(select(approval).where(approval.c.id == approval_id).with_for_update())).one_or_none()
    return None if row is None else (_approval(row), row.digest_sealed)


async def put(conn: AsyncConnection, row: Approval) -> None:
    """Store what became of one; in the transaction that read it."""
    changed = {"state": row.state.value, "decided_at": row.decided_at, "decided_by": row.decided_by}
    await conn.execute(update(approval).where(approval.c.id == row.id).values(changed))


async def rename(conn: AsyncConnection, former: str, name: str, *, asked_since: int) -> None:
    """Let those that somebody asked for lately follow them to another name: they still may not decide themselves."""
    theirs = update(approval).where(approval.c.asked_at >= asked_since, approval.c.asked_by == former)
    await conn.execute(theirs.values(asked_by=name))


async def list_page(conn: AsyncConnection, *, after: str, limit: int) -> list[Approval]:
    """Return them newest first, beginning after ``after`` (an id; empty for the first page)."""
    page = select(approval).order_by(approval.c.asked_at.desc(), approval.c.id.desc()).limit(limit)
    if after:
        if ids.parse_endpoint_id(after) is None:
            return []
        last = (await conn.execute(select(approval.c.asked_at).where(approval.c.id == after))).scalar_one_or_none()
        if last is None:
            return []
        page = page.where(tuple_(approval.c.asked_at, approval.c.id) < (last, after))
    return [_approval(row) for row in await conn.execute(page)]


def _approval(row: Row[Any]) -> Approval:
    found = {name: getattr(row, name) for name in Approval.__struct_fields__}
    return Approval(**(found | {"permission": NAMED[row.permission], "state": ApprovalState(row.state)}))
