"""Renewals of device keys: ordered by a command, and put on record when an endpoint brings its new key.

The key on record vouches for the new one by the proof of the request; a former one does so in a recovery only.
Afterwards it serves for recovery, like every key before it: nothing is taken away.
"""

import logging
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import command
from keyfast.core.command import CommandEvent
from keyfast.core.mode import Mode
from keyfast.core.recovery import Caller, vouches
from keyfast.errors import TrustError
from keyfast.services.live import Live
from keyfast.store import changes, commands, endpoints, events
from keyfast.store.commands import CommandRow
from keyfast.store.endpoints import EndpointRow
from keyfast.trust.encoding import thumbprint
from keyfast.trust.renewal import read_renewal
from keyfast.trust.roles import COMMAND_TYP
from keyfast.wire.messages import Command
from keyfast.wire.renewal import RENEW_DEVICE_KEY, KeyRenewal

LIFETIME = 7 * 86400
ORDERED = "a new device key is asked for"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bringing:
    """Who brings a new key.

    Attributes:
        endpoint_id: whose key made the proof of the request.
        thumbprint: of that key.
        way: ``check-in`` or ``recovery``, for the record.
        recovering: it does so in a recovery.
    """

    endpoint_id: str
    thumbprint: str
    way: str
    recovering: bool


async def offered(conn: AsyncConnection, live: Live, row: CommandRow, now: int) -> CommandRow | None:
    """Return the command as it is to be sent; None while a change of the web access server is before the endpoint.

    Whatever goes wrong with the one then has the other to fall back on.
    """
    if await changes.unfinished(conn, row.endpoint_id):
        return None
    if row.statement and row.expires_at > now and _verifies(live, row.statement):
        return row
    claims = Command(
        installation=live.installation.id,
        id=row.id,
        endpoint=row.endpoint_id,
        seq=await commands.fresh_seq(conn, row),
        issued_at=now,
        expires_at=now + LIFETIME,
        action=RENEW_DEVICE_KEY,
        rotation=row.rotation_id or "",
    )
    after = replace(
        row,
        seq=claims.seq,
        statement=live.keyset.sign(COMMAND_TYP, claims),
        state=command.step(row.state, CommandEvent.OFFERED),
        expires_at=claims.expires_at,
        updated_at=now,
        detail=ORDERED,
    )
    await changes.put(conn, row, after)
    await commands.recount(conn, row.endpoint_id)
    return after


def _verifies(live: Live, statement: str) -> bool:
    try:
        live.keyset.verify(statement, COMMAND_TYP, Command)
    except TrustError:
        return False
    return True


async def bind(conn: AsyncConnection, live: Live, statement: str, who: Bringing, now: int) -> EndpointRow | None:
    """Make a new device key the one on record, and the one until now a former one; twice is the same as once.

    Returns:
        The endpoint's record that names the new keys; None if they are not taken.

    Raises:
        NotFoundError: there is no such endpoint.
    """
    try:
        renewal = read_renewal(statement, live.installation.id)
    except TrustError as cause:
        _log.warning("a new device key of endpoint %s is not taken: %s", who.endpoint_id, cause.message)
        return None
    await commands.lock(conn, who.endpoint_id)
    record = await endpoints.get(conn, who.endpoint_id)
    new = thumbprint(renewal.jwk)
    if record is None or renewal.endpoint != who.endpoint_id or who.thumbprint not in {renewal.former, new}:
        return None
    row = record.endpoint
    if row.thumbprint != new:
        caller = Caller.CURRENT if who.thumbprint == row.thumbprint else Caller.SUPERSEDED
        holder = await endpoints.by_thumbprint(conn, new)
        if not vouches(caller, recovering=who.recovering) or (holder is not None and holder.endpoint.id != row.id):
            return None
        row = replace(row, thumbprint=new, public_jwk=renewal.jwk, seal_jwk=renewal.seal_jwk)
        await _take(conn, record.endpoint, row, renewal, who, now)
    elif row.seal_jwk != renewal.seal_jwk:
        return None
    if renewal.command:
        await commands.applied(conn, row.id, renewal.command, RENEW_DEVICE_KEY, now)
    return row


async def _take(
    conn: AsyncConnection, before: EndpointRow, row: EndpointRow, renewal: KeyRenewal, who: Bringing, now: int
) -> None:
    await endpoints.take_key(conn, row, now)
    # Access tokens are bound to the key before. In Windows mode there are none, and the next check-in may be in this
    # very second.
    await endpoints.revoke_tokens(conn, row.id, now + 1 if row.mode is Mode.OAUTH else now)
    detail = {"thumbprint": row.thumbprint, "former": before.thumbprint, "vouched_by": who.thumbprint, "way": who.way}
    told = detail | ({"command": renewal.command} if renewal.command else {})
    await events.add(conn, at=now, kind="endpoint_key_renewed", endpoint_id=row.id, detail=told)
