"""One place for limits and versions of the protocol."""

from typing import Annotated

from msgspec import Meta

from keyfast.errors import UsageError

WIRE_VERSION = 1

MAX_CHECK_IN_BYTES = 128 * 1024
MAX_REGISTER_BYTES = 32 * 1024
MAX_RECOVER_BYTES = 32 * 1024
MAX_PROBE_BYTES = 2 * 1024
MAX_FORM_BYTES = 16 * 1024
MAX_PROOF_CHARS = 4096
MAX_TOKEN_CHARS = 512
MAX_LOGON_CHARS = 64 * 1024
"""A Kerberos ticket names every group of the account."""

NONCE_LIFETIME = 48 * 3600
"""Seconds a nonce buys check-ins: at least two intervals of the slowest policy."""
FRESH_NONCE_LIFETIME = 300
"""Seconds a nonce buys anything without a sequence number (token, registration, reads)."""
ACCESS_TOKEN_LIFETIME = 24 * 3600
ASSERTION_LEEWAY = 300
ASSERTION_LIFETIME = 600

MIN_INTERVAL = 60
MAX_INTERVAL = 24 * 3600


def demand_interval(seconds: int) -> None:
    """Demand that endpoints may be told to check in every so many seconds.

    Raises:
        UsageError: it is too short or too long.
    """
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise UsageError(f"an interval lies between {MIN_INTERVAL} and {MAX_INTERVAL} seconds")


SEQ_MAX = 2**53 - 1
AGE_MAX = 10 * 365 * 86400
TIME_MAX = 2**40

Seq = Annotated[int, Meta(ge=1, le=SEQ_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Age = Annotated[int, Meta(ge=0, le=AGE_MAX)]
UnixTime = Annotated[int, Meta(ge=-TIME_MAX, le=TIME_MAX)]
# 32 bytes in canonical base64url (RFC 4648 section 3.5): the last character carries only four bits.
Digest = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z")]
MaybeDigest = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])?\Z")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
Short = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=1024)]
Statement = Annotated[str, Meta(max_length=8192)]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
Size = Annotated[int, Meta(ge=0, le=2**62)]
Percent = Annotated[float, Meta(ge=0, le=100)]
