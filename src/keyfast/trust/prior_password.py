"""Proof that somebody holds a former password of an account, without sending it.

The key comes from the password by HKDF-SHA256, bound to the installation; what it signs is bound to the server's
nonce and to both keys of the endpoint, so that the proof is of no use to anybody else, or later. Passwords of client
authentication accounts are long and random; who sees a proof can still try guesses against it at home.
"""

import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyfast.core.secret import Secret
from keyfast.trust.encoding import b64u, framed

_INFO = b"keyfast prior password 1"


def make(
    password: Secret,
    installation: str,
    nonce: str,
    thumbprint: str,
    seal_thumbprint: str,
    account: str,
    generation: int,
) -> str:
    """Make the proof (base64url, 43 characters).

    Args:
        password: the former password.
        installation: id of the installation.
        nonce: the server's, of the same request.
        thumbprint: RFC 7638 thumbprint of the device key.
        seal_thumbprint: of the HPKE key.
        account: key of the account.
        generation: credential generation the password is.
    """
    key = HKDF(SHA256(), 32, salt=installation.encode(), info=_INFO).derive(password.reveal())
    return b64u(hmac.digest(key, framed(nonce, thumbprint, seal_thumbprint, account, str(generation)), "sha256"))


def holds(
    password: Secret,
    installation: str,
    nonce: str,
    thumbprint: str,
    seal_thumbprint: str,
    account: str,
    generation: int,
    mac: str,
) -> bool:
    """Whether ``mac`` is the proof of this password; in constant time."""
    made = make(password, installation, nonce, thumbprint, seal_thumbprint, account, generation)
    return hmac.compare_digest(made.encode(), mac.encode("utf-8", "surrogatepass"))
