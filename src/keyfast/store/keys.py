"""Signing keys, sealed by the caller, and the statements by which one root handed over to the next."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.store.statements import upsert
from keyfast.store.tables import root_change, signing_key


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A signing key as stored.

    Attributes:
        kid: RFC 7638 thumbprint.
        private_sealed, mac_sealed: sealed under the KEK, None where this server does not hold them.
        delegation: statement of the root (JWS), empty for a root.
        created_at: unix seconds.
    """

    kid: str
    role: str
    status: str
    public_jwk: dict[str, str]
    private_sealed: str | None = field(repr=False)
    mac_sealed: str | None = field(repr=False)
    delegation: str
    created_at: int


async def load(conn: AsyncConnection) -> list[SigningKeyRow]:
    """Return all keys, oldest first."""
    rows = await conn.execute(select(signing_key).order_by(signing_key.c.created_at, signing_key.c.kid))
    return [SigningKeyRow(*row) for row in rows]


async def save(conn: AsyncConnection, rows: Sequence[SigningKeyRow]) -> None:
    """Add keys, or replace them by ``kid``; keys that are not named stay."""
    await upsert(conn, signing_key, [asdict(row) for row in rows])


async def add_root_change(conn: AsyncConnection, statement: str) -> None:
    """Append a signed statement of a root change."""
    await conn.execute(insert(root_change).values(statement=statement))


async def root_changes(conn: AsyncConnection) -> list[str]:
    """Return all statements of root changes, oldest first."""
    return list(await conn.scalars(select(root_change.c.statement).order_by(root_change.c.seq)))
