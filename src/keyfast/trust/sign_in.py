"""What proves who a person is: passwords by Argon2id (RFC 9106), codes by TOTP (RFC 6238), random tokens by hash.

Tokens have 256 bits, so one plain hash finds them and tells nothing; passwords have fewer, so they get the slow one.
"""

import base64
import hashlib
import secrets
import unicodedata

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from keyfast.core.secret import Secret
from keyfast.trust.encoding import b64u

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
SESSION_PREFIX = "kfs_"
API_PREFIX = "kfa_"
INVITATION_PREFIX = "kfi_"
"""First characters of what is secret, so that scanners of logs and repositories recognise it."""

_TOKEN_BYTES = 32
_SALT_BYTES = 16
_HASH_BYTES = 32
_CODE_BYTES = 20
_CODE_DIGITS = 6
_STEP_SECONDS = 30
_ISSUER = "Keyfast"


class Cost(msgspec.Struct, frozen=True):
    """What one password costs to try (``memory`` in KiB)."""

    iterations: int
    lanes: int
    memory: int


RECOMMENDED = Cost(iterations=3, lanes=4, memory=64 * 1024)
"""The second choice of RFC 9106 section 4, for servers that have other things to do with their memory."""
CHEAPEST = Cost(iterations=1, lanes=1, memory=8)
"""For tests."""


class Passwords:
    """Hashes passwords and checks them; slow on purpose, so keep it off the event loop.

    Args:
        cost: of hashes that are made; of those that are checked, what they say themselves.
    """

    def __init__(self, cost: Cost = RECOMMENDED) -> None:
        self._cost = cost
        settings = f"m={cost.memory},t={cost.iterations},p={cost.lanes}"
        # The hash of no password, to be checked where there is none: it costs what a real one costs.
        self._nobodys = f"$argon2id$v=19${settings}${_plain64(_SALT_BYTES)}${_plain64(_HASH_BYTES)}"

    def hash(self, password: Secret) -> str:
        """Return the hash of a password, in the usual text form."""
        cost = self._cost
        made = Argon2id(
            salt=secrets.token_bytes(_SALT_BYTES),
            length=_HASH_BYTES,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory,
        )
        return made.derive_phc_encoded(_canonical(password))

    def holds(self, password: Secret, hashed: str) -> bool:
        """Tell whether a password is the one; without a hash it is not, and that takes as long."""
        try:
            Argon2id.verify_phc_encoded(_canonical(password), hashed or self._nobodys)
        except InvalidKey:
            return False
        return bool(hashed)

    def is_current(self, hashed: str) -> bool:
        """Tell whether a hash has today's cost."""
        cost = self._cost
        return f"$m={cost.memory},t={cost.iterations},p={cost.lanes}$" in hashed


def password_fault(password: Secret, name: str) -> str | None:
    """Say what is wrong with a password that somebody chooses, None if nothing is (NIST SP 800-63B: length counts)."""
    text = _canonical(password).decode()
    if not SHORTEST_PASSWORD <= len(text) <= LONGEST_PASSWORD:
        return f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
    if name.lower() in text.lower() or len(set(text)) < SHORTEST_PASSWORD // 2:
        return "this password is too easy to guess"
    return None


def new_token(prefix: str) -> Secret:
    """Make a random token: what is in a cookie, an API token, an invitation."""
    return Secret((prefix + b64u(secrets.token_bytes(_TOKEN_BYTES))).encode("ascii"))


def digest(token: Secret) -> bytes:
    """Return what a token is found by."""
    return hashlib.sha256(token.reveal()).digest()


def new_code_secret() -> Secret:
    """Make the secret of a second factor."""
    return Secret(secrets.token_bytes(_CODE_BYTES))


def code_uri(secret: Secret, name: str) -> str:
    """Return what an authenticator reads; it holds the secret."""
    return _totp(secret).get_provisioning_uri(name, _ISSUER)


def code_step(secret: Secret, code: str, now: int) -> int | None:
    """Return the step to which a code belongs, this one or a neighbour, None for a wrong code."""
    if not (len(code) == _CODE_DIGITS and code.isascii() and code.isdigit()):
        return None
    step = now // _STEP_SECONDS
    found = None
    for candidate in (step, max(0, step - 1), step + 1):
        try:
            _totp(secret).verify(code.encode("ascii"), candidate * _STEP_SECONDS)
        except InvalidToken:
            continue
        found = candidate if found is None else found
    return found


def _totp(secret: Secret) -> TOTP:
    # SHA-1 is what authenticators implement; as HMAC it is sound (RFC 6238 section 1.2).
    return TOTP(secret.reveal(), _CODE_DIGITS, SHA1(), _STEP_SECONDS)  # noqa: S303


def _plain64(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode("ascii").rstrip("=")


def _canonical(password: Secret) -> bytes:
    """The same password from every keyboard (NIST SP 800-63B section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password.reveal().decode("utf-8", "replace")).encode("utf-8")
