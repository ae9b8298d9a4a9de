"""What stands against packages as they are on record, and which package an endpoint came from."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.generation import GenerationState
from keyfast.core.package_standing import PackageFacts, PackageFault, faults
from keyfast.store import accounts, packages
from keyfast.store.endpoints import EndpointRow
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.wire.admin import Origin

Generations = dict[tuple[str, int], GenerationState]
"""State of each credential generation that is on record."""


async def origin(conn: AsyncConnection, endpoint: EndpointRow, now: int) -> Origin | None:
    """The package that an endpoint came from, None if it is not on record."""
    row = await packages.get(conn, endpoint.package_id)
    if row is None:
        return None
    token = (await packages.tokens(conn, [row.id])).get(row.id)
    found = faults_of(row, token, await generations_of(conn, [row]), now)
    brought = (row.mode, row.account_key, row.generation)
    in_use = (endpoint.mode.value, endpoint.account_key, endpoint.generation) == brought
    return Origin(row.id, row.kind, row.built_at, row.created_by, found, in_use)


async def generations_of(conn: AsyncConnection, rows: Sequence[PackageRow]) -> Generations:
    """The states of credential generations, if one of these packages embeds any; there are a handful."""
    if not any(row.account_key for row in rows):
        return {}
    return {(found.account_key, found.generation): found.state for found in await accounts.generations(conn)}


def faults_of(
    row: PackageRow, token: EnrolmentTokenRow | None, generations: Generations, now: int
) -> tuple[PackageFault, ...]:
    """Everything that stands against a package now, worst first."""
    facts = PackageFacts(
        state=row.state,
        expires_at=token.expires_at if token else 0,
        uses=token.uses if token else 0,
        max_uses=token.max_uses if token else 0,
        account=row.account_key,
        generation=generations.get((row.account_key, row.generation)),
    )
    return faults(facts, now)
