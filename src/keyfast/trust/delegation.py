"""What the root says about other keys: delegations, and its own succession."""

import msgspec

from keyfast.errors import TrustError
from keyfast.trust import statement
from keyfast.trust.device import DeviceKey, parse_public_jwk
from keyfast.trust.encoding import thumbprint
from keyfast.trust.roles import DELEGATION_TYP, ROOT_CHANGE_TYP, Role


class Delegation(msgspec.Struct, frozen=True):
    """Claims of a delegation: the root lets a key act in a role.

    Attributes:
        installation: installation id.
        role: the only role the key has.
        kid: thumbprint of the key.
        jwk: its public half.
        issued_at: server time.
    """

    installation: str
    role: Role
    kid: str
    jwk: dict[str, str]
    issued_at: int


class RootChange(msgspec.Struct, frozen=True):
    """Claims of a root change, signed by the new root and around that by the old one.

    Attributes:
        installation: installation id.
        previous: thumbprint of the old root.
        kid: thumbprint of the new root.
        jwk: public half of the new root.
        issued_at: server time.
    """

    installation: str
    previous: str
    kid: str
    jwk: dict[str, str]
    issued_at: int


def delegate(root: DeviceKey, installation: str, role: Role, jwk: dict[str, str], now: int) -> str:
    """Sign a delegation."""
    claims = Delegation(installation, role, thumbprint(jwk), jwk, now)
    return statement.sign(root, DELEGATION_TYP, msgspec.json.encode(claims))


def read_delegation(text: str, installation: str, root: dict[str, str]) -> Delegation:
    """Verify a delegation by the root (JWK).

    Raises:
        TrustError: the root did not sign it, or it does not say what it must.
    """
    found = statement.verify(text, DELEGATION_TYP, Delegation, installation, {thumbprint(root): root}.get)
    if thumbprint(parse_public_jwk(found.jwk)) != found.kid or found.role is Role.ROOT:
        raise TrustError("the delegation does not name a key and a role below the root")
    return found


def change_root(old: DeviceKey, new: DeviceKey, installation: str, now: int) -> str:
    """Sign the succession of roots: the new root proves that it exists, the old one hands over."""
    claims = RootChange(installation, old.thumbprint, new.thumbprint, new.public_jwk(), now)
    inner = statement.sign(new, ROOT_CHANGE_TYP, msgspec.json.encode(claims))
    return statement.sign(old, ROOT_CHANGE_TYP, inner.encode("ascii"))


def read_root_change(text: str, installation: str, root: dict[str, str]) -> RootChange:
    """Verify a root change from ``root`` (JWK) to the next one.

    Raises:
        TrustError: either root did not sign it, or it does not say what it must.
    """
    old = thumbprint(root)
    outer = statement.verified_payload(text, ROOT_CHANGE_TYP, {old: root}.get)
    inner = outer.decode("ascii", "replace")
    claims = statement.claims_of(statement.unverified_payload(inner), RootChange)
    jwk = parse_public_jwk(claims.jwk)
    found = statement.verify(inner, ROOT_CHANGE_TYP, RootChange, installation, {thumbprint(jwk): jwk}.get)
    if found.previous != old or found.kid != thumbprint(jwk):
        raise TrustError("the root change is not about these two roots")
    return found
