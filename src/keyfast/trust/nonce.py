"""Nonces that need no memory: authenticated server time, and grants to resynchronise.

Layout: purpose (1 byte), unix seconds (8), for a grant the sequence number (8), then 16 bytes of
HMAC-SHA256 over all of that; for a grant also over the endpoint id, which is not repeated in it.
"""

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from keyfast.core.check_in import Grant
from keyfast.core.secret import Secret
from keyfast.trust.encoding import b64u, unb64u

_TIME, _GRANT = 1, 2
_TIME_BODY, _GRANT_BODY = struct.Struct(">BQ"), struct.Struct(">BQQ")
_MAC_BYTES = 16
_TIME_CHARS = 34
_GRANT_CHARS = 44


@dataclass(frozen=True, slots=True)
class NonceFacts:
    """What an authentic nonce says.

    Attributes:
        issued_at: server time, unix seconds.
        grant: permission to continue a history, if it is a grant made for the endpoint that asked.
    """

    issued_at: int
    grant: Grant | None = None


class Nonces:
    """Issues and reads nonces.

    Args:
        keys: HMAC keys, at least one; the first issues, all are accepted.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._keys = tuple(key.reveal() for key in keys)
        self._issuing = self._keys[0]

    def issue(self, now: int) -> str:
        """Issue a nonce that carries the server's time."""
        body = _TIME_BODY.pack(_TIME, now)
        return b64u(body + _mac(self._issuing, body, ""))

    def grant(self, now: int, endpoint_id: str, seq: int) -> str:
        """Issue a nonce with which this endpoint, and no other, may continue at ``seq``."""
        body = _GRANT_BODY.pack(_GRANT, now, seq)
        return b64u(body + _mac(self._issuing, body, endpoint_id))

    def read(self, nonce: str, endpoint_id: str = "") -> NonceFacts | None:
        """Read a nonce; None for anything not issued with these keys, or granted to another endpoint."""
        if len(nonce) not in (_TIME_CHARS, _GRANT_CHARS):
            return None
        try:
            raw = unb64u(nonce)
        except ValueError:
            return None
        body = raw[:-_MAC_BYTES]
        if body[0] == _TIME and len(body) == _TIME_BODY.size:
            return NonceFacts(_TIME_BODY.unpack(body)[1]) if self._authentic(raw, body, "") else None
        if body[0] == _GRANT and len(body) == _GRANT_BODY.size and self._authentic(raw, body, endpoint_id):
            _, issued_at, seq = _GRANT_BODY.unpack(body)
            return NonceFacts(issued_at, Grant(seq))
        return None

    def _authentic(self, raw: bytes, body: bytes, endpoint_id: str) -> bool:
        mac = raw[-_MAC_BYTES:]
        return any(hmac.compare_digest(_mac(key, body, endpoint_id), mac) for key in self._keys)

    def __repr__(self) -> str:
        return f"Nonces({len(self._keys)} keys)"


def _mac(key: bytes, body: bytes, endpoint_id: str) -> bytes:
    # The body's length is fixed by its first byte, so nothing of it can pass for part of the endpoint id.
    return hmac.digest(key, body + endpoint_id.encode("utf-8", "surrogatepass"), "sha256")[:_MAC_BYTES]
