"""Proof of a former password: who holds it can ask to be taken in, and the password never travels.

Only for an endpoint that was never enrolled and whose account no directory grants any more. Both ends derive
a key from the password; what it authenticates is the server's nonce and the keys that ask, so that a proof
is good once, and for these keys alone.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyfast.core.secret import Secret
from keyfast.trust.encoding import b64u, framed, unb64u

_INFO = b"keyfast prior password 1"
_KEY_BYTES = 32


def prior_mac(
    password: Secret,
    installation: str,
    *,
    nonce: str,
    device: str,
    seal: str,
    account: str,
    generation: int,
) -> str:
    """Return the proof: HMAC-SHA-256 in base64url, 43 characters.

    Args:
        password: the former password, UTF-8.
        installation: id of the installation; salt of the derivation (RFC 5869).
        nonce: the server's, as in the proof of the same request.
        device: RFC 7638 thumbprint of the device key.
        seal: RFC 7638 thumbprint of the HPKE key.
        account: key of the account.
        generation: credential generation of the password.
    """
    key = HKDF(SHA256(), _KEY_BYTES, installation.encode(), _INFO).derive(password.reveal())
    message = framed("prior password", nonce, device, seal, account, str(generation))
    return b64u(hmac.new(key, message, hashlib.sha256).digest())


def is_prior(
    mac: str,
    password: Secret,
    installation: str,
    *,
    nonce: str,
    device: str,
    seal: str,
    account: str,
    generation: int,
) -> bool:
    """Tell, in constant time, whether ``mac`` proves this password for exactly this; never raises."""
    expected = prior_mac(
        password, installation, nonce=nonce, device=device, seal=seal, account=account, generation=generation
    )
    try:
        said = unb64u(mac)
    except ValueError:
        return False
    return hmac.compare_digest(said, unb64u(expected))
