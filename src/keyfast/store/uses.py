"""Who uses which credential: endpoints move from what their package embedded to what commands brought, and back.

An endpoint is counted with its package's enrolment token while it uses what that package embedded, and in
``credential_use`` while it uses anything else. OAuth needs no credential: it is the account "" there.
"""

from dataclasses import replace

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.store import endpoints, packages
from keyfast.store.endpoints import EndpointRow
from keyfast.store.statements import insert_once
from keyfast.store.tables import credential_use, enrolment_token


async def move(conn: AsyncConnection, row: EndpointRow, mode: Mode, account_key: str, generation: int) -> bool:
    """Record what an endpoint has proved to use, and count it there; tell whether it used something else before."""
    if (row.mode, row.account_key, row.generation) == (mode, account_key, generation):
        return False
    await leave(conn, row)
    await endpoints.set_access(conn, row.id, mode, account_key, generation)
    if await _embedded(conn, row) == (mode, account_key, generation):
        await packages.count_leaving(conn, row.enrolment_jti, -1)
    else:
        await count(conn, account_key, generation, 1)
    return True


async def take_back(conn: AsyncConnection, row: EndpointRow) -> str:
    """Count an endpoint that this server had forgotten; return its enrolment token's ``jti``, empty if unknown."""
    columns = enrolment_token.c
    jti = await conn.scalar(select(columns.jti).where(columns.package_id == row.package_id).limit(1)) or ""
    if jti:
        await conn.execute(update(enrolment_token).where(columns.jti == jti).values(uses=columns.uses + 1))
    row = replace(row, enrolment_jti=jti)
    if await _embedded(conn, row) != (row.mode, row.account_key, row.generation):
        if jti:
            await packages.count_leaving(conn, jti)
        await count(conn, row.account_key, row.generation, 1)
    return str(jti)


async def leave(conn: AsyncConnection, row: EndpointRow) -> None:
    """Stop counting an endpoint where it is counted."""
    if await _embedded(conn, row) == (row.mode, row.account_key, row.generation):
        await packages.count_leaving(conn, row.enrolment_jti)
    else:
        await count(conn, row.account_key, row.generation, -1)


async def _embedded(conn: AsyncConnection, row: EndpointRow) -> tuple[Mode, str, int] | None:
    """What the endpoint's package embeds, None where the package or its token is not on record."""
    package = await packages.get(conn, row.package_id) if row.enrolment_jti else None
    return (Mode(package.mode), package.account_key, package.generation) if package else None


async def count(conn: AsyncConnection, account_key: str, generation: int, more: int) -> None:
    """Count endpoints that came to a credential generation by a command, or left it."""
    key = {"account_key": account_key, "generation": generation}
    await insert_once(conn, credential_use, key | {"endpoints": 0})
    columns = credential_use.c
    of_key = (columns.account_key == account_key, columns.generation == generation)
    await conn.execute(update(credential_use).where(*of_key).values(endpoints=columns.endpoints + more))


async def by_command(conn: AsyncConnection, mode: Mode) -> int:
    """Return how many endpoints came to a mode by a command."""
    columns = credential_use.c
    of_mode = columns.account_key == "" if mode is Mode.OAUTH else columns.account_key != ""
    found = select(func.coalesce(func.sum(columns.endpoints), 0)).where(of_mode, columns.endpoints > 0)
    return int(await conn.scalar(found) or 0)
