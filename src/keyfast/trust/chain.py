"""What an endpoint believes: everything that leads to the root key in its package, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from keyfast.errors import TrustError
from keyfast.trust import statement
from keyfast.trust.delegation import read_delegation, read_root_change
from keyfast.trust.device import parse_public_jwk
from keyfast.trust.encoding import thumbprint
from keyfast.trust.roles import DELEGATION_TYP, ROOT_CHANGE_TYP, Role, signer_of

T = TypeVar("T", bound=msgspec.Struct)


class TrustChain:
    """Verifies statements by the root key alone.

    Args:
        installation: installation id.
        root: the pinned root key (JWK).
        delegations: delegations in any order, and root changes, which are followed from the pinned root.

    A text among ``delegations`` that does not hold gives nothing to trust; whatever relies on it is refused.

    Attributes:
        installation: installation id.
        root: the newest root (JWK) that the pinned one leads to.

    Raises:
        TrustError: the root is not a P-256 public key.
    """

    def __init__(self, installation: str, root: Mapping[str, str], delegations: Iterable[str] = ()) -> None:
        self.installation = installation
        self._texts = tuple(delegations)
        self.root = _newest_root(installation, parse_public_jwk(root), self._texts)
        self._keys = _delegated(installation, self.root, self._texts)

    def walk(self, root_changes: Iterable[str]) -> "TrustChain":
        """Return the chain after the root changes; those that do not follow from its root are passed over."""
        return TrustChain(self.installation, self.root, (*self._texts, *root_changes))

    def verify(self, jws: str, typ: str, type_: type[T]) -> T:
        """Verify a statement of type ``typ`` and return its claims.

        Raises:
            ForeignError: it is another installation's.
            TrustError: its signature does not lead to the root, or its key has another role.
        """
        role = signer_of(typ)

        def key_of(kid: str) -> Mapping[str, str] | None:
            if role is Role.ROOT:
                return self.root if kid == thumbprint(self.root) else None
            return self._keys.get((role, kid))

        return statement.verify(jws, typ, type_, self.installation, key_of)


def _of_type(texts: Iterable[str], typ: str) -> list[str]:
    found = []
    for text in texts:
        try:
            said = statement.label(text)
        except TrustError:
            continue  # not a statement: nothing to trust
        if said.typ == typ:
            found.append(text)
    return found


def _newest_root(installation: str, root: dict[str, str], texts: Iterable[str]) -> dict[str, str]:
    """Follow root changes; each is used at most once, so a circle ends."""
    waiting = _of_type(texts, ROOT_CHANGE_TYP)
    while True:
        kid = thumbprint(root)
        step = next((text for text in waiting if statement.label(text).kid == kid), None)
        if step is None:
            return root
        waiting.remove(step)
        try:
            root = read_root_change(step, installation, root).jwk
        except TrustError:
            continue  # claims to follow from this root and does not; another one may


def _delegated(installation: str, root: dict[str, str], texts: Iterable[str]) -> dict[tuple[Role, str], dict[str, str]]:
    keys = {}
    for text in _of_type(texts, DELEGATION_TYP):
        try:
            found = read_delegation(text, installation, root)
        except TrustError:
            continue  # by an older root, or not by any: nothing to trust
        keys[found.role, found.kid] = found.jwk
    return keys
