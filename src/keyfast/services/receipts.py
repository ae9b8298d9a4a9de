"""Receipts: what an endpoint shows to a server that has forgotten it."""

from keyfast.services.live import Live
from keyfast.store.endpoints import EndpointRow
from keyfast.trust.encoding import thumbprint
from keyfast.trust.roles import RECEIPT_TYP
from keyfast.wire.messages import Receipt


def receipt_of(live: Live, row: EndpointRow, now: int, *, pending: bool = False) -> str:
    """Sign the receipt of an endpoint as it is on record; ``pending`` while an administrator has not let it in."""
    receipt = Receipt(
        installation=live.installation.id,
        endpoint=row.id,
        thumbprint=row.thumbprint,
        seal_thumbprint=thumbprint(row.seal_jwk),
        epoch=live.installation.epoch,
        issued_at=now,
        ring=row.ring,
        package=row.package_id,
        account=row.account_key,
        generation=row.generation,
        pending=pending,
    )
    return live.keyset.sign(RECEIPT_TYP, receipt)
