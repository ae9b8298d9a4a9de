"""Who is speaking: an access token bound to a key, and a proof made with that key for this request.

Order matters: the cheap check first (HMAC, microseconds), the signature second, freshness third.
"""

import shlex

import msgspec

from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass, masked
from keyfast.services.live import Live
from keyfast.store.identities import Identity
from keyfast.trust import dpop
from keyfast.trust.access_token import AccessToken
from keyfast.trust.dpop import Proof
from keyfast.trust.nonce import NonceFacts
from keyfast.wire import limits

_SCHEME = "DPoP "


class SignedRequest(msgspec.Struct, frozen=True):
    """What a request presents to prove who sent it.

    Attributes:
        method: HTTP method.
        path: path of the URL.
        authorization: ``Authorization`` header, may be empty.
        proof: ``DPoP`` header, may be empty.
        address: peer address, for the record only.
        port: peer port; with the address it names the connection.
        proven: a device key's proof of this request was verified.
        kdc_refused: the sender says that the domain's KDC has refused the account's password.
    """

    method: str
    path: str
    authorization: str
    proof: str
    address: str
    port: int = 0
    proven: bool = False
    kdc_refused: bool = False

    @property
    def connection(self) -> str:
        """The TCP connection the request came on."""
        return f"{self.address}|{self.port}"

    @property
    def presents_token(self) -> bool:
        """Whether an access token is presented; without one the account must authenticate, if it may."""
        return self.authorization.startswith(_SCHEME)


class Caller(msgspec.Struct, frozen=True):
    """A caller whose token and proof hold."""

    token: AccessToken
    proof: Proof
    nonce: NonceFacts


def endpoint_caller(
    live: Live, request: SignedRequest, body: bytes | None, now: int, nonce_lifetime: int
) -> Caller | Refusal:
    """Verify token, proof and nonce.

    Args:
        live: keys in force.
        request: what was presented.
        body: the body that the proof must cover, or None for a request without one.
        now: server time.
        nonce_lifetime: seconds a nonce is good for here.
    """
    if not request.authorization.startswith(_SCHEME):
        return Refusal(RefusalClass.UNAUTHENTICATED, "no access token", expected="Authorization: DPoP <access token>")
    text = request.authorization[len(_SCHEME) :]
    token = live.tokens.read(text, now)
    if isinstance(token, Refusal) and token.rule.anonymous:
        return token  # not ours at all: not worth a signature check
    proof = dpop.verify_proof(
        request.proof,
        method=request.method,
        path=request.path,
        origins=live.origins,
        access_token=text,
        body=body,
    )
    if isinstance(token, Refusal):
        return masked(token) if isinstance(proof, Refusal) else token
    if isinstance(proof, Refusal):
        return proof
    if proof.thumbprint != token.thumbprint:
        return Refusal(RefusalClass.UNAUTHENTICATED, "the proof was made with another key than the token is bound to")
    nonce = fresh_nonce(live, proof, now, nonce_lifetime, token.endpoint_id)
    return nonce if isinstance(nonce, Refusal) else Caller(token, proof, nonce)


def fresh_nonce(live: Live, proof: Proof, now: int, lifetime: int, endpoint_id: str = "") -> NonceFacts | Refusal:
    """Check the server's nonce in a proof: it is the only clock that counts."""
    if not proof.nonce:
        return Refusal(RefusalClass.USE_NONCE, "the proof carries no nonce")
    facts = live.nonces.read(proof.nonce, endpoint_id)
    if facts is None:
        return Refusal(RefusalClass.USE_NONCE, "the nonce is not one of this installation")
    if facts.issued_at > now + limits.ASSERTION_LEEWAY:
        return Refusal(RefusalClass.USE_NONCE, "the nonce is from the future")
    if now - facts.issued_at > lifetime:
        return Refusal(RefusalClass.USE_NONCE, "the nonce has expired")
    return facts


def unknown_or_superseded(identity: Identity | None) -> Refusal | None:
    """Refuse a device key that is not on record, or has a successor."""
    if identity is None:
        return Refusal(RefusalClass.UNKNOWN_DEVICE, expected="a device key this server enrolled")
    if identity.current:
        return None
    return Refusal(
        RefusalClass.KEY_SUPERSEDED,
        presented=f"a former device key of endpoint {identity.endpoint_id}",
        expected="its newest device key, or a recovery check-in",
    )


def mode_refusal(live: Live, ring: str, mode: Mode) -> Refusal | None:
    """Refuse a mode that is closed for a ring; None if it is open."""
    open_now = live.modes.open_for(ring)
    if mode in open_now:
        return None
    return Refusal(
        RefusalClass.MODE_CLOSED,
        presented=f"authentication mode {mode.value}",
        expected=" or ".join(sorted(open_now)),
        repair=f"keyfast mode open {mode.value}" + (f" --ring {shlex.quote(ring)}" if ring else ""),
    )
