"""The installation: one row, made by founding."""

from dataclasses import asdict, dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.errors import ConflictError
from keyfast.store.tables import installation


@dataclass(frozen=True, slots=True)
class InstallationRow:
    """Which installation this database belongs to.

    Attributes:
        created_at: unix seconds.
        kek_id: the key that seals stored secrets.
        epoch: rises when the server was restored from a backup.
        restored_at: since when it is known that the server went back in time, 0 once an operator ended that.
    """

    id: str
    name: str
    created_at: int
    kek_id: str
    epoch: int
    restored_at: int = 0


async def get(conn: AsyncConnection) -> InstallationRow | None:
    """Return the installation, None before it was founded."""
    row = (await conn.execute(select(installation))).one_or_none()
    return None if row is None else InstallationRow(*row)


async def create(conn: AsyncConnection, row: InstallationRow) -> None:
    """Found the installation.

    Raises:
        ConflictError: this database holds one already.
    """
    if await get(conn) is not None:
        raise ConflictError("this database already holds an installation")
    await conn.execute(insert(installation).values(asdict(row)))


async def set_kek(conn: AsyncConnection, kek_id: str) -> None:
    """Record which key seals stored secrets."""
    await conn.execute(update(installation).values(kek_id=kek_id))


async def lock(conn: AsyncConnection) -> InstallationRow | None:
    """Return the installation, and hold its row until the commit."""
    row = (await conn.execute(select(installation).with_for_update())).one_or_none()
    return None if row is None else InstallationRow(*row)


async def set_epoch(conn: AsyncConnection, epoch: int, restored_at: int) -> None:
    """Record the epoch, and since when it is known that the server went back in time (0: that is over)."""
    await conn.execute(update(installation).values(epoch=epoch, restored_at=restored_at))
