"""Take back an endpoint that this server has forgotten, by the receipt that it gave the endpoint itself.

A server restored from a backup knows nothing of who enrolled since, or of device keys that were renewed since.
The receipt, signed by this installation, names endpoint, device key and sealing key.
"""

import uuid
from dataclasses import replace

from keyfast.core import ids
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ConflictError, ForeignError, TrustError
from keyfast.services.live import Live
from keyfast.store import endpoints, events, uses
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRecord, EndpointRow
from keyfast.trust.device import parse_public_jwk
from keyfast.trust.dpop import Proof
from keyfast.trust.encoding import thumbprint
from keyfast.trust.roles import RECEIPT_TYP
from keyfast.wire.changes import Recover
from keyfast.wire.messages import Receipt

_NO_PACKAGE = str(uuid.UUID(int=0))


def verified_receipt(live: Live, message: Recover, proof: Proof) -> Receipt | Refusal:
    """Verify a receipt, and that it is about the keys of whoever presents it."""
    try:
        receipt = live.keyset.verify(message.receipt, RECEIPT_TYP, Receipt)
        seal = thumbprint(parse_public_jwk(message.seal_jwk))
    except ForeignError as cause:
        return Refusal(
            RefusalClass.FOREIGN_INSTALLATION,
            presented=f"a receipt: {cause.message}",
            expected=f"one issued by installation {live.installation.id}",
        )
    except TrustError:
        return Refusal(RefusalClass.UNAUTHENTICATED, "the receipt does not verify, or comes without the sealing key")
    if (receipt.thumbprint, receipt.seal_thumbprint) != (proof.thumbprint, seal):
        return Refusal(RefusalClass.UNAUTHENTICATED, "the receipt is about other keys")
    if ids.parse_endpoint_id(receipt.endpoint) is None:
        return Refusal(RefusalClass.UNAUTHENTICATED, "the receipt names no endpoint")
    return receipt


def forgotten(receipt: Receipt, proof: Proof, message: Recover) -> EndpointRow:
    """The record of an endpoint as its verified receipt has it."""
    return EndpointRow(
        id=receipt.endpoint,
        name=message.hostname or receipt.endpoint,
        registered_at=receipt.issued_at,
        package_id=ids.parse_endpoint_id(receipt.package) or _NO_PACKAGE,
        enrolment_jti="",
        thumbprint=proof.thumbprint,
        public_jwk=dict(proof.public_jwk),
        seal_jwk=parse_public_jwk(message.seal_jwk),
        hardware={},
        ring=receipt.ring,
        account_key=receipt.account,
        generation=receipt.generation,
        mode=Mode.WINDOWS if receipt.account else Mode.OAUTH,
    )


async def readopt(
    database: Database, row: EndpointRow, now: int, state: EndpointState = EndpointState.ACTIVE
) -> EndpointRecord | None:
    """Put an endpoint back on record in a state, or only the keys of one whose newer keys were forgotten.

    Raises:
        NotReadyError: the store is down; nothing was written.
    """
    try:
        async with database.write() as conn:
            known = await endpoints.get(conn, row.id)
            if known is None:
                row = replace(row, enrolment_jti=await uses.take_back(conn, row))
                await endpoints.insert(conn, row, state)
            else:
                await endpoints.take_key(conn, row, now)
            detail = {"name": row.name, "thumbprint": row.thumbprint, "was_known": known is not None}
            await events.add(conn, at=now, kind="endpoint_readopted", endpoint_id=row.id, detail=detail)
    except ConflictError:
        pass  # the same endpoint asked twice at once, and the other request put it back
    async with database.read() as conn:
        return await endpoints.get(conn, row.id)
