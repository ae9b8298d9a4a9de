"""Packages and the enrolment token inside each."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, delete, func, insert, literal_column, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.package import PackageKind
from keyfast.core.package_life import PackageState
from keyfast.store.tables import enrolment_token, package, package_serial


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A package (times in unix seconds); account and credential generation in Windows mode only.

    Attributes:
        created_at: when it was asked for; ``built_at`` is when it was ready, 0 until then.
        file_name: of the artefact, below the folder of packages.
        sha256: of the artefact (hex), empty until it is ready; ``size`` in bytes.
        version: of the agent inside.
        policy_version: policy in force when it was built.
        product_code: UUID by which Windows knows it.
        serials: how many computers its allow-list names, 0 for no list.
        reason: why it failed.
    """

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
    kind: PackageKind = PackageKind.BUNDLE
    version: str = ""
    policy_version: int = 0
    product_code: str = ""
    state: PackageState = PackageState.READY
    built_at: int = 0
    size: int = 0
    serials: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EnrolmentTokenRow:
    """An enrolment token (times in unix seconds).

    Attributes:
        uses: how many endpoints enrolled with it, at most ``max_uses``.
        left: how many of them have another package now.
        used_at: when the last endpoint enrolled with it, 0 for none.
    """

    jti: str
    package_id: str
    issued_at: int
    expires_at: int
    max_uses: int
    uses: int
    revoked_at: int | None
    left: int = 0
    used_at: int = 0


async def create(
    conn: AsyncConnection, row: PackageRow, inside: EnrolmentTokenRow | None = None, serials: Iterable[str] = ()
) -> None:
    """Put a package on record, with its allow-list; its enrolment token works from when it is on record too."""
    await conn.execute(insert(package).values(_values(row)))
    listed = [{"package_id": row.id, "serial": serial} for serial in serials]
    if listed:
        await conn.execute(insert(package_serial), listed)
    if inside is not None:
        await conn.execute(insert(enrolment_token).values(asdict(inside)))


async def finish(conn: AsyncConnection, row: PackageRow, inside: EnrolmentTokenRow | None = None) -> bool:
    """Replace the row of a package that is being built, and put its enrolment token on record.

    Returns:
        False if somebody else has ended the build meanwhile; nothing was written then.
    """
    building = (package.c.id == row.id, package.c.state == PackageState.BUILDING.value)
    if (await conn.execute(update(package).where(*building).values(_values(row)))).rowcount != 1:
        return False
    if inside is not None:
        await conn.execute(insert(enrolment_token).values(asdict(inside)))
    return True


async def building(conn: AsyncConnection) -> list[PackageRow]:
    """Return every package that is being built, or whose build was cut off."""
    # The condition in the words of the partial index, so that no planner reads the others.
    found = select(package).where(package.c.state == literal_column("'building'"))
    return [_row(row) for row in await conn.execute(found)]


async def get(conn: AsyncConnection, package_id: str) -> PackageRow | None:
    """Return a package, None if there is none of this id."""
    if ids.parse_endpoint_id(package_id) is None:
        return None
    row = (await conn.execute(select(package).where(package.c.id == package_id))).one_or_none()
    return None if row is None else _row(row)


async def by_digest(conn: AsyncConnection, sha256: str) -> PackageRow | None:
    """Return the newest package whose artefact has this SHA-256 (hex)."""
    found = select(package).where(package.c.sha256 == sha256).order_by(package.c.created_at.desc()).limit(1)
    row = (await conn.execute(found)).one_or_none()
    return None if row is None else _row(row)


async def named(conn: AsyncConnection, package_ids: Iterable[str]) -> PackageRow | None:
    """Return a package that has one of these ids; what is no id is passed over."""
    known = [found for found in map(ids.parse_endpoint_id, package_ids) if found]
    row = (await conn.execute(select(package).where(package.c.id.in_(known)).limit(1))).one_or_none()
    return None if row is None else _row(row)


async def list_page(conn: AsyncConnection, *, after: str, limit: int, rings: Collection[str] = ()) -> list[PackageRow]:
    """Return packages newest first, beginning after ``after`` (an id; empty for the first page).

    Only those of some ``rings``, unless there are none.
    """
    newest_first = select(package).order_by(package.c.created_at.desc(), package.c.id.desc()).limit(limit)
    if rings:
        newest_first = newest_first.where(package.c.ring.in_(rings))
    if after:
        last = await get(conn, after)
        if last is None:
            return []
        newest_first = newest_first.where(tuple_(package.c.created_at, package.c.id) < (last.created_at, last.id))
    return [_row(row) for row in await conn.execute(newest_first)]


async def revoke(conn: AsyncConnection, package_id: str, *, at: int) -> bool:
    """Revoke a package and its enrolment token, once; tell whether there is such a package."""
    if await get(conn, package_id) is None:
        return False
    for table, column, values in (
        (package, package.c.id, {"revoked_at": at, "state": PackageState.REVOKED.value}),
        (enrolment_token, enrolment_token.c.package_id, {"revoked_at": at}),
    ):
        await conn.execute(update(table).where(column == package_id, table.c.revoked_at.is_(None)).values(values))
    return True


async def token(conn: AsyncConnection, jti: str) -> EnrolmentTokenRow | None:
    """Return an enrolment token by its ``jti``."""
    row = (await conn.execute(select(enrolment_token).where(enrolment_token.c.jti == jti))).one_or_none()
    return None if row is None else EnrolmentTokenRow(*row)


async def tokens(conn: AsyncConnection, package_ids: Collection[str]) -> dict[str, EnrolmentTokenRow]:
    """Return the enrolment tokens of some packages, by package id; one that was not finished has none."""
    found = select(enrolment_token).where(enrolment_token.c.package_id.in_(package_ids))
    rows = [EnrolmentTokenRow(*row) for row in await conn.execute(found)]
    return {row.package_id: row for row in rows}


async def ending(conn: AsyncConnection, *, now: int, until: int, limit: int) -> list[EnrolmentTokenRow]:
    """Return the enrolment tokens of packages in use that end in a time, those that end first at the top."""
    columns = enrolment_token.c
    found = (
        select(enrolment_token)
        .join(package, package.c.id == columns.package_id)
        .where(columns.revoked_at.is_(None), package.c.state == PackageState.READY.value)
        .where(columns.expires_at > now, columns.expires_at <= until)
        .order_by(columns.expires_at, columns.jti)
        .limit(limit)
    )
    return [EnrolmentTokenRow(*row) for row in await conn.execute(found)]


async def lists(conn: AsyncConnection, package_id: str, serials: Collection[str]) -> bool:
    """Tell whether a package's allow-list names one of these."""
    columns = package_serial.c
    found = select(columns.serial).where(columns.package_id == package_id, columns.serial.in_(serials)).limit(1)
    return (await conn.execute(found)).first() is not None


async def forget_list(conn: AsyncConnection, package_id: str) -> None:
    """Drop the allow-list of a package that came to nothing."""
    await conn.execute(delete(package_serial).where(package_serial.c.package_id == package_id))


async def count_use(conn: AsyncConnection, jti: str, *, at: int) -> bool:
    """Count one use, in one step; False if the token is unknown, revoked or at its ceiling."""
    counted = await conn.execute(
        update(enrolment_token)
        .where(
            enrolment_token.c.jti == jti,
            enrolment_token.c.uses < enrolment_token.c.max_uses,
            enrolment_token.c.revoked_at.is_(None),
        )
        .values(uses=enrolment_token.c.uses + 1, used_at=at)
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


def _values(row: PackageRow) -> dict[str, Any]:
    return asdict(row) | {"kind": row.kind.value, "state": row.state.value}


def _row(row: Row[Any]) -> PackageRow:
    found = row._asdict()
    return PackageRow(**(found | {"kind": PackageKind(found["kind"]), "state": PackageState(found["state"])}))
