"""Browser sessions, by the hash of what is in the cookie. One that has ended is no row."""

from dataclasses import dataclass, field

from sqlalchemy import delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store import people
from keyfast.store.people import PersonRow
from keyfast.store.tables import person, person_session


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session (times in unix seconds); ``id`` names it and opens nothing."""

    hash: bytes = field(repr=False)
    id: str
    person_id: str
    begun_at: int
    seen_at: int
    proved_at: int
    address: str


async def add(conn: AsyncConnection, row: SessionRow) -> None:
    """Put a session on record."""
    values = {column.name: getattr(row, column.name) for column in person_session.columns}
    await conn.execute(insert(person_session).values(values))


async def get(conn: AsyncConnection, digest: bytes) -> tuple[SessionRow, PersonRow] | None:
    """Return a session and whose it is."""
    row = (await conn.execute(select(person_session).where(person_session.c.hash == digest))).one_or_none()
    owner = None if row is None else await people.get(conn, row.person_id)
    return None if row is None or owner is None else (SessionRow(*row), owner)


async def note(conn: AsyncConnection, digest: bytes, *, seen_at: int, proved_at: int | None = None) -> None:
    """Note a request, or that the person has proved again who they are."""
    values = {"seen_at": seen_at} | ({} if proved_at is None else {"proved_at": proved_at})
    await conn.execute(update(person_session).where(person_session.c.hash == digest).values(values))


async def end(conn: AsyncConnection, digest: bytes) -> str | None:
    """End a session; return whose it was, None if there was none."""
    ended = delete(person_session).where(person_session.c.hash == digest).returning(person_session.c.person_id)
    return (await conn.execute(ended)).scalar_one_or_none()


async def end_by_id(conn: AsyncConnection, session_id: str) -> bool:
    """End a session by its id; tell whether there was one."""
    if ids.parse_endpoint_id(session_id) is None:
        return False
    return (await conn.execute(delete(person_session).where(person_session.c.id == session_id))).rowcount == 1


async def end_all(conn: AsyncConnection, person_id: str) -> int:
    """End every session of somebody; return how many there were."""
    return (await conn.execute(delete(person_session).where(person_session.c.person_id == person_id))).rowcount


async def forget(conn: AsyncConnection, *, begun_before: int) -> None:
    """Remove sessions that are over by their age."""
    await conn.execute(delete(person_session).where(person_session.c.begun_at < begun_before))


async def list_page(conn: AsyncConnection, *, after: str, limit: int) -> list[tuple[SessionRow, str]]:
    """Return sessions with the names of their people, newest first, beginning after ``after`` (an id, or empty)."""
    page = (
        select(person_session, person.c.name.label("owner"))
        .join(person, person.c.id == person_session.c.person_id)
        .order_by(person_session.c.begun_at.desc(), person_session.c.id.desc())
        .limit(limit)
    )
    if after:
        if ids.parse_endpoint_id(after) is None:
            return []
        begun = select(person_session.c.begun_at).where(person_session.c.id == after)
        last = (await conn.execute(begun)).scalar_one_or_none()
        if last is None:
            return []
        page = page.where(tuple_(person_session.c.begun_at, person_session.c.id) < (last, after))
    return [(SessionRow(*row[:-1]), row.owner) for row in await conn.execute(page)]
