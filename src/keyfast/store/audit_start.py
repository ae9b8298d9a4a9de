"""Where the audit trail begins, and the one statement that removes records: from its front, and nowhere else."""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.audit import Head
from keyfast.core.audit_keep import Start
from keyfast.store.statements import insert_once
from keyfast.store.tables import audit, audit_start

_ONLY = 1
_UNTOUCHED = {"id": _ONLY, "number": 0, "hash": "", "record": 0, "sealed": ""}


async def get(conn: AsyncConnection) -> tuple[Start, str] | None:
    """Return where a shortened trail begins, with its seal; None for a trail that is whole."""
    row = (await conn.execute(select(audit_start))).one_or_none()
    return None if row is None or not row.number else (Start(Head(row.number, row.hash), row.record), row.sealed)


async def hold(conn: AsyncConnection) -> None:
    """Let nobody else shorten the trail until the commit. Before the head: whoever takes both takes them so."""
    if (await conn.execute(select(audit_start.c.id).with_for_update())).one_or_none() is None:
        await insert_once(conn, audit_start, _UNTOUCHED)
        await conn.execute(select(audit_start.c.id).with_for_update())


async def shorten(conn: AsyncConnection, start: Start, sealed: str) -> None:
    """Remove every record up to the one after which the trail begins; held before (``hold``)."""
    await conn.execute(delete(audit).where(audit.c.number <= start.after.number))
    values = {"number": start.after.number, "hash": start.after.hash, "record": start.record, "sealed": sealed}
    await conn.execute(update(audit_start).values(values))


async def seal_anew(conn: AsyncConnection, sealed: str) -> None:
    """Replace the seal."""
    await conn.execute(update(audit_start).values(sealed=sealed))
