"""The installation's keys: one root that delegates, and a key or more for every role."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, UsageError
from keyfast.trust import statement
from keyfast.trust.chain import TrustChain
from keyfast.trust.delegation import change_root, delegate
from keyfast.trust.device import DeviceKey
from keyfast.trust.roles import KeyStatus, Role, signer_of

__all__ = ["KeyStatus", "Keyset", "Role", "SigningKey", "TrustChain"]

T = TypeVar("T", bound=msgspec.Struct)

_NONCE_INFO = b"keyfast nonce 1"
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """One key of the installation.

    Attributes:
        kid: RFC 7638 thumbprint.
        role: what it is for.
        status: whether it signs, or only verifies.
        public_jwk: public half.
        private: private half (PKCS #8 PEM), None where this server does not hold it.
        mac: 32 random bytes from which tokens and nonces get their keys; token role only.
        delegation: statement of the root that gives it its role; for a root, the change that made it the
            root, empty for the first one.
        created_at: server time.
    """

    kid: str
    role: Role
    status: KeyStatus
    public_jwk: dict[str, str]
    private: Secret | None
    mac: Secret | None
    delegation: str
    created_at: int


@dataclass(frozen=True, slots=True, eq=False)
class Keyset:
    """All keys of one installation; immutable, every change returns a new one.

    Attributes:
        installation: installation id.
        keys: every key, oldest first within a role.
    """

    installation: str
    keys: tuple[SigningKey, ...]
    _opened: dict[str, DeviceKey] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def generate(cls, installation: str, now: int) -> Self:
        """Make a root, and what it delegates: one key per role, and the token role's next one."""
        pair = DeviceKey.generate()
        root = _signing_key(pair, Role.ROOT, KeyStatus.CURRENT, "", now)
        order = [(role, KeyStatus.CURRENT) for role in Role if role is not Role.ROOT]
        order.append((Role.TOKEN, KeyStatus.NEXT))
        return cls(installation, (root, *(_new(pair, installation, role, status, now) for role, status in order)))

    def sign(self, typ: str, claims: msgspec.Struct) -> str:
        """Sign claims as a statement of type ``typ`` with the current key of the role that may.

        Raises:
            TrustError: no role signs this type.
            ConflictError: this server does not hold the private half.
        """
        key = self._one(signer_of(typ), KeyStatus.CURRENT)
        return statement.sign(self._pair(key), typ, msgspec.json.encode(claims))

    def verify(self, jws: str, typ: str, type_: type[T]) -> T:
        """Verify a statement by any key of the role that may sign it, and return its claims.

        Raises:
            ForeignError: it is another installation's.
            TrustError: anything else about it does not hold.
        """
        keys = {key.kid: key.public_jwk for key in self._of(signer_of(typ))}
        return statement.verify(jws, typ, type_, self.installation, keys.get)

    def rotate(self, role: Role, now: int) -> Self:
        """Bring a new key of ``role`` into use; the old one stays published and still verifies.

        The token role's new key was published before, as its next one, and a new next one is made: another
        process that reads keys a little later still knows every key in use.

        Raises:
            UsageError: for the root, see ``rotate_root``.
            ConflictError: the root's private half is not here.
        """
        if role is Role.ROOT:
            raise UsageError("the root is changed by rotate_root")
        root = self._pair(self._one(Role.ROOT, KeyStatus.CURRENT))
        published_first = bool(self._of(role, KeyStatus.NEXT))
        status = KeyStatus.NEXT if published_first else KeyStatus.CURRENT
        new = _new(root, self.installation, role, status, now)
        changes = {key.kid: _aged(key) for key in self._of(role)}
        return type(self)(self.installation, (*(changes.get(key.kid, key) for key in self.keys), new))

    def rotate_root(self, now: int) -> tuple[Self, str]:
        """Make a new root; return the keys and the statement of the change, signed by both roots.

        Every delegation is issued again by the new root. The private half of the old one is dropped: all it
        could still do is harm.

        Raises:
            ConflictError: the root's private half is not here.
        """
        old = self._one(Role.ROOT, KeyStatus.CURRENT)
        pair = DeviceKey.generate()
        change = change_root(self._pair(old), pair, self.installation, now)

        def renewed(key: SigningKey) -> SigningKey:
            if key.role is Role.ROOT:
                return replace(key, status=KeyStatus.PREVIOUS, private=None)
            return replace(key, delegation=delegate(pair, self.installation, key.role, key.public_jwk, now))

        root = _signing_key(pair, Role.ROOT, KeyStatus.CURRENT, change, now)
        return type(self)(self.installation, (*(renewed(key) for key in self.keys), root)), change

    def without_root_private(self) -> Self:
        """Return the keys without any private half of a root: daily work goes on, rotation does not."""
        return type(self)(
            self.installation,
            tuple(replace(key, private=None) if key.role is Role.ROOT else key for key in self.keys),
        )

    def access_token_keys(self) -> tuple[Mapping[str, Secret], str]:
        """Return the HMAC key of each key id that is accepted, and the key id that mints."""
        keys = {key.kid: key.mac for key in self._of(Role.TOKEN) if key.mac is not None}
        return keys, self._one(Role.TOKEN, KeyStatus.CURRENT).kid

    def nonce_keys(self) -> tuple[Secret, ...]:
        """Return the HMAC keys of nonces: current, previous, next. Derived, so never a token's key."""
        order = (KeyStatus.CURRENT, KeyStatus.PREVIOUS, KeyStatus.NEXT)
        return tuple(
            _derived(key.mac) for status in order for key in self._of(Role.TOKEN, status) if key.mac is not None
        )

    def jwks(self) -> dict[str, Any]:
        """Return the public halves as a JWK set (RFC 7517 section 5), each with its delegation."""
        return {
            "keys": [
                {
                    **key.public_jwk,
                    "kid": key.kid,
                    "use": "sig",
                    "alg": "ES256",
                    "keyfast_delegation": key.delegation,
                }
                for key in self.keys
            ]
        }

    def delegations(self) -> tuple[str, ...]:
        """Return what leads from any root there ever was to every key: root changes and delegations."""
        return tuple(key.delegation for key in self.keys if key.delegation)

    def _of(self, role: Role, status: KeyStatus | None = None) -> list[SigningKey]:
        return [key for key in self.keys if key.role is role and status in (None, key.status)]

    def _one(self, role: Role, status: KeyStatus) -> SigningKey:
        found = self._of(role, status)
        if len(found) != 1:
            raise ConflictError(f"the installation has {len(found)} {status} keys of role '{role}', not one")
        return found[0]

    def _pair(self, key: SigningKey) -> DeviceKey:
        if key.private is None:
            raise ConflictError(
                f"the private half of the {key.role} key {key.kid} is not on this server",
                repair="import it first: keyfast keys import FILE",
            )
        if key.kid not in self._opened:
            self._opened[key.kid] = DeviceKey.from_pem(key.private)
        return self._opened[key.kid]


def _signing_key(pair: DeviceKey, role: Role, status: KeyStatus, delegation: str, now: int) -> SigningKey:
    mac = Secret(secrets.token_bytes(_MAC_BYTES)) if role is Role.TOKEN else None
    return SigningKey(pair.thumbprint, role, status, pair.public_jwk(), pair.to_pem(), mac, delegation, created_at=now)


def _new(root: DeviceKey, installation: str, role: Role, status: KeyStatus, now: int) -> SigningKey:
    pair = DeviceKey.generate()
    return _signing_key(pair, role, status, delegate(root, installation, role, pair.public_jwk(), now), now)


def _aged(key: SigningKey) -> SigningKey:
    """The key after its role was rotated: what no longer signs loses its private half, then its MAC key."""
    if key.status is KeyStatus.NEXT:
        return replace(key, status=KeyStatus.CURRENT)
    if key.status is KeyStatus.CURRENT:
        return replace(key, status=KeyStatus.PREVIOUS, private=None)
    return replace(key, mac=None)


def _derived(mac: Secret) -> Secret:
    return Secret(HKDF(SHA256(), _MAC_BYTES, salt=None, info=_NONCE_INFO).derive(mac.reveal()))
