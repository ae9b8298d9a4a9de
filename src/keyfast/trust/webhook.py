"""The signature of a webhook: the receiver knows who calls and when, and takes nothing twice that is old."""

import hashlib
import hmac

from keyfast.core.secret import Secret


def signature(secret: Secret, at: int, body: bytes) -> str:
    """Return the value of the signature's header for a body sent at ``at`` (unix seconds)."""
    mac = hmac.new(secret.reveal(), f"{at}.".encode("ascii") + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"
