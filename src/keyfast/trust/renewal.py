"""Renewals of device keys: a statement that the new key makes of itself (docs/protocol/keys.md)."""

import msgspec

from keyfast.errors import TrustError
from keyfast.trust import statement
from keyfast.trust.device import DeviceKey, parse_public_jwk
from keyfast.trust.encoding import thumbprint
from keyfast.wire.renewal import KeyRenewal

RENEWAL_TYP = "keyfast-renewal+jwt"


def make_renewal(
    new: DeviceKey, seal: DeviceKey, *, installation: str, endpoint: str, command: str, former: str
) -> str:
    """Make the statement by which a new device key asks to take the place of another.

    Args:
        new: the new device key.
        seal: the new HPKE key.
        installation: id of the installation.
        endpoint: endpoint id.
        command: id of the command that asked for it, empty if none did.
        former: thumbprint of the key that vouches for it.
    """
    claims = KeyRenewal(installation, endpoint, command, former, new.public_jwk(), seal.public_jwk())
    return statement.sign(new, RENEWAL_TYP, msgspec.json.encode(claims))


def read_renewal(text: str, installation: str) -> KeyRenewal:
    """Verify such a statement; its keys are checked, whose endpoint it is about is not.

    Raises:
        ForeignError: it is for another installation.
        TrustError: its signature does not hold, or a key in it is none.
    """
    claims = statement.claims_of(statement.unverified_payload(text), KeyRenewal)
    jwk, seal = parse_public_jwk(claims.jwk), parse_public_jwk(claims.seal_jwk)
    own = thumbprint(jwk)
    if claims.former == own:
        raise TrustError("a key that vouches for itself")
    verified = statement.verify(text, RENEWAL_TYP, KeyRenewal, installation, lambda kid: jwk if kid == own else None)
    return msgspec.structs.replace(verified, jwk=jwk, seal_jwk=seal)
