"""Which endpoints are on a computer, by its serial number or SMBIOS UUID, as ``core.serials.plain`` spells them."""

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.serials import plain, shown
from keyfast.store.tables import endpoint_serial


async def remember(conn: AsyncConnection, endpoint_id: str, hardware: dict[str, Any]) -> None:
    """Put on record by which names the computer of a new endpoint is found."""
    names = set(shown(hardware.get("serial", ""), hardware.get("smbios_uuid", "")))
    if names:
        await conn.execute(
            insert(endpoint_serial), [{"serial": name, "endpoint_id": endpoint_id} for name in sorted(names)]
        )


async def found(conn: AsyncConnection, serial: str, *, limit: int) -> list[str]:
    """Return ids of endpoints on a computer: it may have enrolled anew, and copies have the same serial number."""
    columns = endpoint_serial.c
    wanted = select(columns.endpoint_id).where(columns.serial == plain(serial)).order_by(columns.endpoint_id)
    return list(await conn.scalars(wanted.limit(limit)))
