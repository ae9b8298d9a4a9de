"""What a browser is to bring back soon: in memory, bounded, each taken once, known by a ticket that only it has."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from keyfast.core.secret import Secret

SECONDS = 600
MOST = 1000

Kept = TypeVar("Kept")


class Waiting(Generic[Kept]):
    """Keeps values until they are taken or too old; the oldest make room for new ones."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Kept, float]] = OrderedDict()

    def put(self, value: Kept) -> Secret:
        """Keep a value; return its ticket."""
        ticket = Secret(secrets.token_urlsafe(32).encode("ascii"))
        self._kept[_key(ticket.reveal())] = (value, self._clock() + SECONDS)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return ticket

    def take(self, ticket: str) -> Kept | None:
        """Return the value of a ticket, once; None if there is none, or not any more."""
        found = self._kept.pop(_key(ticket.encode("utf-8", "replace")), None)
        return None if found is None or self._clock() >= found[1] else found[0]


def _key(ticket: bytes) -> bytes:
    return hashlib.sha256(ticket).digest()
