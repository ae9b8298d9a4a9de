"""Sign-ins that failed, counted by the hash of what they are counted for; never more than a bounded number."""

from collections.abc import Mapping

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.throttle import NONE, Failures
from keyfast.store.statements import upsert
from keyfast.store.tables import sign_in_failure


async def alone(conn: AsyncConnection) -> None:
    """Wait until nobody else counts, so that tries at the same time count as several; until the transaction ends."""
    if conn.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(4818117111)")


async def load(conn: AsyncConnection, subjects: list[bytes]) -> dict[bytes, Failures]:
    """Return what is counted for some subjects."""
    rows = await conn.execute(select(sign_in_failure).where(sign_in_failure.c.subject.in_(subjects)))
    found = {row.subject: Failures(row.failures, row.last_at) for row in rows}
    return {subject: found.get(subject, NONE) for subject in subjects}


async def save(conn: AsyncConnection, counts: Mapping[bytes, Failures]) -> None:
    """Store counts; one of nothing is no row."""
    gone = [subject for subject, failures in counts.items() if not failures.count]
    if gone:
        await conn.execute(delete(sign_in_failure).where(sign_in_failure.c.subject.in_(gone)))
    kept = {subject: failures for subject, failures in counts.items() if failures.count}
    rows = [{"subject": key, "failures": found.count, "last_at": found.last_at} for key, found in kept.items()]
    await upsert(conn, sign_in_failure, rows)


async def forget(conn: AsyncConnection, *, last_before: int, most: int) -> None:
    """Remove what is old, and the oldest beyond ``most``."""
    await conn.execute(delete(sign_in_failure).where(sign_in_failure.c.last_at < last_before))
    beyond = (await conn.scalar(select(func.count()).select_from(sign_in_failure)) or 0) - most
    if beyond > 0:
        oldest = select(sign_in_failure.c.subject).order_by(sign_in_failure.c.last_at).limit(beyond)
        await conn.execute(delete(sign_in_failure).where(sign_in_failure.c.subject.in_(oldest)))
