"""A secret that masks itself: no repr, no str, no comparison, no accidental serialisation."""

import hmac
from typing import NoReturn


class Secret:
    """Bytes that must not leak. Read them with ``reveal()``, at the point of use only."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the secret bytes. Never log, format or store the result unsealed."""
        return self._value

    def same(self, other: "Secret") -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value, other.reveal())

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are compared with same(), in constant time")

    def __hash__(self) -> NoReturn:
        raise TypeError("a secret is not a key of anything")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised by accident")
