"""Idempotency keys that were used, and the answers that were given, sealed by the caller. Times are unix seconds."""

from dataclasses import asdict, dataclass, field

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.idempotency import KeyState
from keyfast.store.statements import insert_once
from keyfast.store.tables import kept_answer


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A key that was used.

    Attributes:
        hash: of whose it is and the key (``core.idempotency.place``).
        sealed: the request, and the answer if there is one.
    """

    hash: bytes = field(repr=False)
    claimed_at: int
    state: KeyState
    sealed: str = field(repr=False)


async def claim(conn: AsyncConnection, row: KeptRow, *, expired_at: int) -> KeptRow | None:
    """Put a key on record, unless it is there; of several at the same time one does.

    Args:
        conn: one of ``Database.write``.
        row: as it is to be.
        expired_at: what was claimed then or earlier counts as not there.

    Returns:
        What is on record already; None if the key is this row's now.
    """
    while not await insert_once(conn, kept_answer, asdict(row)):
        held = select(kept_answer).where(kept_answer.c.hash == row.hash).with_for_update()
        found = (await conn.execute(held)).one_or_none()
        if found is None:
            continue  # whoever had it was refused in this instant
        if found.claimed_at > expired_at:
            return KeptRow(found.hash, found.claimed_at, KeyState(found.state), found.sealed)
        await conn.execute(update(kept_answer).where(kept_answer.c.hash == row.hash).values(asdict(row)))
        return None
    return None


async def settle(conn: AsyncConnection, row: KeptRow) -> None:
    """Put on record what became of the request that claimed a key."""
    await conn.execute(update(kept_answer).where(_begun(row)).values(state=row.state, sealed=row.sealed))


async def release(conn: AsyncConnection, row: KeptRow) -> None:
    """Take the claim of a request back that changed nothing."""
    await conn.execute(delete(kept_answer).where(_begun(row)))


async def forget(conn: AsyncConnection, *, expired_at: int, most: int) -> int:
    """Remove what was claimed then or earlier, the oldest first and at most so many; return how many."""
    old = select(kept_answer.c.hash).where(kept_answer.c.claimed_at <= expired_at)
    oldest = old.order_by(kept_answer.c.claimed_at).limit(most)
    return (await conn.execute(delete(kept_answer).where(kept_answer.c.hash.in_(oldest)))).rowcount


def _begun(row: KeptRow) -> ColumnElement[bool]:
    """The same claim, and not one that came after it expired."""
    mine = kept_answer.c.hash == row.hash, kept_answer.c.claimed_at == row.claimed_at
    return and_(*mine, kept_answer.c.state == KeyState.BEGUN)
