"""What somebody's authenticator shows (RFC 6238)."""

import base64

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP = 30
"""Seconds for which it shows the same code."""


def code_of(secret: str | bytes, at: float) -> str:
    """Return the code of a moment.

    Args:
        secret: as it is told (base32), or its bytes.
        at: unix seconds.
    """
    key = base64.b32decode(secret + "=" * (-len(secret) % 8)) if isinstance(secret, str) else secret
    shown = TOTP(key, 6, SHA1(), STEP, enforce_key_length=False)  # noqa: S303 - what authenticators do
    return shown.generate(int(at)).decode()
