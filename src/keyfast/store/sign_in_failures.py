"""Sign-ins that failed, counted by the hash of what they are counted for; never more than a bounded number.

Those that the directory was shown are counted in a table of their own: nobody can have them forgotten by failing often.
"""

from collections.abc import Mapping

from sqlalchemy import Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.throttle import NONE, Failures
from keyfast.store.statements import upsert
from keyfast.store.tables import directory_try, sign_in_failure


async def alone(conn: AsyncConnection) -> None:
    """Wait until nobody else counts, so that tries at the same time count as several; until the transaction ends."""
    if conn.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(4818117111)")


async def load(conn: AsyncConnection, subjects: list[bytes], table: Table = sign_in_failure) -> dict[bytes, Failures]:
    """Return what is counted for some subjects."""
    rows = await conn.execute(select(table).where(table.c.subject.in_(subjects)))
    found = {row.subject: Failures(row.failures, row.last_at) for row in rows}
    return {subject: found.get(subject, NONE) for subject in subjects}


async def save(conn: AsyncConnection, counts: Mapping[bytes, Failures], table: Table = sign_in_failure) -> None:
    """Store counts; one of nothing is no row."""
    gone = [subject for subject, failures in counts.items() if not failures.count]
    if gone:
        await conn.execute(delete(table).where(table.c.subject.in_(gone)))
    kept = {subject: failures for subject, failures in counts.items() if failures.count}
    rows = [{"subject": key, "failures": found.count, "last_at": found.last_at} for key, found in kept.items()]
    await upsert(conn, table, rows)


async def forget_shown(conn: AsyncConnection, *, last_before: int) -> None:
    """Remove what the directory was shown and has forgotten by now."""
    await conn.execute(delete(directory_try).where(directory_try.c.last_at < last_before))


async def forget(conn: AsyncConnection, *, last_before: int, most: int) -> None:
    """Remove what is old, and the oldest beyond ``most``."""
    await conn.execute(delete(sign_in_failure).where(sign_in_failure.c.last_at < last_before))
    beyond = (await conn.scalar(select(func.count()).select_from(sign_in_failure)) or 0) - most
    if beyond > 0:
        oldest = select(sign_in_failure.c.subject).order_by(sign_in_failure.c.last_at).limit(beyond)
        await conn.execute(delete(sign_in_failure).where(sign_in_failure.c.subject.in_(oldest)))
