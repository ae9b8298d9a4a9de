"""Packages and the enrolment token inside each."""

from dataclasses import asdict, dataclass

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.store.tables import enrolment_token, package


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A package (times in unix seconds); account and credential generation in Windows mode only."""

    id: str
    created_at: int
    created_by: str
    mode: str
    ring: str
    admission: str
    file_name: str
    sha256: str
    revoked_at: int | None
    account_key: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class EnrolmentTokenRow:
    """An enrolment token (times in unix seconds).

    Attributes:
        uses: how many endpoints enrolled with it, at most ``max_uses``.
        left: how many of them have another package now.
    """

    jti: str
    package_id: str
    issued_at: int
    expires_at: int
    max_uses: int
    uses: int
    revoked_at: int | None
    left: int = 0


async def create(conn: AsyncConnection, row: PackageRow, inside: EnrolmentTokenRow) -> None:
    """Put a package and its enrolment token on record."""
    await conn.execute(insert(package).values(asdict(row)))
    await conn.execute(insert(enrolment_token).values(asdict(inside)))


async def get(conn: AsyncConnection, package_id: str) -> PackageRow | None:
    """Return a package, None if there is none of this id."""
    if ids.parse_endpoint_id(package_id) is None:
        return None
    row = (await conn.execute(select(package).where(package.c.id == package_id))).one_or_none()
    return None if row is None else PackageRow(*row)


async def list_page(conn: AsyncConnection, *, after: str, limit: int) -> list[PackageRow]:
    """Return packages newest first, beginning after ``after`` (an id; empty for the first page)."""
    newest_first = select(package).order_by(package.c.created_at.desc(), package.c.id.desc()).limit(limit)
    if after:
        last = await get(conn, after)
        if last is None:
            return []
        newest_first = newest_first.where(tuple_(package.c.created_at, package.c.id) < (last.created_at, last.id))
    return [PackageRow(*row) for row in await conn.execute(newest_first)]


async def revoke(conn: AsyncConnection, package_id: str, *, at: int) -> bool:
    """Revoke a package and its enrolment token, once; tell whether there is such a package."""
    if await get(conn, package_id) is None:
        return False
    for table, column in ((package, package.c.id), (enrolment_token, enrolment_token.c.package_id)):
        await conn.execute(
            update(table).where(column == package_id, table.c.revoked_at.is_(None)).values(revoked_at=at)
        )
    return True


async def token(conn: AsyncConnection, jti: str) -> EnrolmentTokenRow | None:
    """Return an enrolment token by its ``jti``."""
    row = (await conn.execute(select(enrolment_token).where(enrolment_token.c.jti == jti))).one_or_none()
    return None if row is None else EnrolmentTokenRow(*row)


async def count_use(conn: AsyncConnection, jti: str) -> bool:
    """Count one use, in one step; False if the token is unknown, revoked or at its ceiling."""
    counted = await conn.execute(
        update(enrolment_token)
        .where(
            enrolment_token.c.jti == jti,
            enrolment_token.c.uses < enrolment_token.c.max_uses,
            enrolment_token.c.revoked_at.is_(None),
        )
        .values(uses=enrolment_token.c.uses + 1)
    )
    return counted.rowcount == 1


async def count_leaving(conn: AsyncConnection, jti: str, more: int = 1) -> None:
    """Count an endpoint that enrolled with this token and uses something else now, or (-1) came back to it."""
    columns = enrolment_token.c
    await conn.execute(update(enrolment_token).where(columns.jti == jti).values(left=columns.left + more))


async def enrolled(conn: AsyncConnection, mode: str, ring: str) -> int:
    """Return how many endpoints have packages of a mode; ``ring`` empty for those of every ring."""
    counted = (
        select(func.coalesce(func.sum(enrolment_token.c.uses - enrolment_token.c.left), 0))
        .join_from(package, enrolment_token, enrolment_token.c.package_id == package.c.id)
        .where(package.c.mode == mode)
    )
    if ring:
        counted = counted.where(package.c.ring == ring)
    return int((await conn.execute(counted)).scalar_one())
