"""Admission: an endpoint on record proves itself, and only then does the use of its enrolment token count."""

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import endpoint
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.store import endpoints, events, packages
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRow


async def prove(database: Database, row: EndpointRow, state: EndpointState, now: int) -> Refusal | None:
    """Let an endpoint that proved its device key work; None if it may.

    Raises:
        NotReadyError: the store is down; nothing was written.
    """
    if state is EndpointState.PENDING:
        return Refusal(RefusalClass.PENDING, repair=f"keyfast endpoint approve {row.id}")
    if state is EndpointState.REVOKED:
        return Refusal(RefusalClass.REVOKED, repair=f"keyfast endpoint reinstate {row.id}")
    if state is not EndpointState.REGISTERED:
        return None
    async with database.write() as conn:
        return await _activate(conn, row, now)


async def _activate(conn: AsyncConnection, row: EndpointRow, now: int) -> Refusal | None:
    proved = endpoint.step(EndpointState.REGISTERED, EndpointEvent.PROVED)
    if not await endpoints.set_state(conn, row.id, EndpointState.REGISTERED, proved):
        return None  # the same endpoint proved itself twice at once; counted by the other request
    if not await packages.count_use(conn, row.enrolment_jti, at=now):
        await endpoints.set_state(conn, row.id, proved, EndpointState.REGISTERED)
        return Refusal(RefusalClass.ENROLMENT_EXHAUSTED, repair="keyfast package create")
    await events.add(conn, at=now, kind="endpoint_enrolled", endpoint_id=row.id, detail={"name": row.name})
    return None
