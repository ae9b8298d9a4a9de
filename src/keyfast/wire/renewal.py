"""The renewal of an endpoint's device key (docs/protocol/keys.md)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from keyfast.wire import limits

RENEW_DEVICE_KEY = "RenewDeviceKey"


class KeyRenewal(msgspec.Struct, frozen=True):
    """Claims of a renewal (typ ``keyfast-renewal+jwt``), signed by the new device key: it exists, and wants to be used.

    The proof of the request that brings it along is made by a key of the endpoint that the server knows.

    Attributes:
        installation: id of the installation.
        endpoint: endpoint id.
        command: id of the command that asked for it, empty where the endpoint renews its key by itself.
        former: RFC 7638 thumbprint of the device key that vouches for the new one.
        jwk: the new public device key; the key id of the statement is its thumbprint.
        seal_jwk: the new public HPKE key.
    """

    installation: str
    endpoint: limits.Uuid
    command: Annotated[str, Meta(max_length=36)]
    former: limits.Digest
    jwk: dict[str, limits.Short]
    seal_jwk: dict[str, limits.Short]
