"""Who has a device key: the one read of a check-in that presents no access token."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.tables import device_key, endpoint, package


@dataclass(frozen=True, slots=True)
class Identity:
    """An endpoint, as far as its authentication depends on it.

    Attributes:
        ring: of its package.
        account_key: account its package was built with, empty if none.
    """

    endpoint_id: str
    ring: str
    account_key: str


async def find(conn: AsyncConnection, thumbprint: str) -> Identity | None:
    """Return the endpoint whose current device key has this RFC 7638 thumbprint."""
    found = (
        select(endpoint.c.id, package.c.ring, package.c.account_key)
        .join_from(device_key, endpoint, endpoint.c.id == device_key.c.endpoint_id)
        .join(package, package.c.id == endpoint.c.package_id)
        .where(device_key.c.thumbprint == thumbprint, device_key.c.status == "current")
    )
    row = (await conn.execute(found)).one_or_none()
    return None if row is None else Identity(*row)
