"""Access tokens: client credentials with a client assertion (RFC 7523), bound to a key (RFC 9449).

The assertion proves the device key; the first one also proves that the endpoint saved its registration.
"""

from collections.abc import Callable, Mapping

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from keyfast.core import ids
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.admission import prove
from keyfast.services.authenticate import SignedRequest, fresh_nonce, mode_refusal
from keyfast.services.enrolment_refusals import EnrolmentRefusals
from keyfast.services.live import Live, LiveState
from keyfast.services.replay import SeenOnce
from keyfast.store import endpoints, packages
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRecord
from keyfast.trust import dpop
from keyfast.trust.dpop import Proof
from keyfast.trust.encoding import decode_json
from keyfast.wire import limits
from keyfast.wire.oauth import ASSERTION_TYPE, Assertion, TokenAnswer


class TokenService:
    """Issues and revokes access tokens. One per check-in process."""

    def __init__(
        self,
        live: LiveState,
        database: Database,
        seen: SeenOnce,
        refusals: EnrolmentRefusals,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._live = live
        self._database = database
        self._seen = seen
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy

    async def issue(self, signed: SignedRequest, form: Mapping[str, str]) -> TokenAnswer | Refusal:
        """Answer a token request.

        Raises:
            NotReadyError: the store is down; nothing was issued.
        """
        live, now = self._live.current, int(self._clock())
        proof = _fresh_proof(live, signed, now)
        if isinstance(proof, Refusal):
            return proof
        record = await self._client(live, signed, form, now)
        if isinstance(record, Refusal):
            return await self._superseded(form, proof) or record
        refusal = await self._closed(live, record) or await prove(
            self._database, record.endpoint, record.presence.state, now
        )
        if refusal is not None:
            if refusal.kind is RefusalClass.ENROLMENT_EXHAUSTED:
                self._refusals.exhausted(record.endpoint, refusal, signed.address)
            return refusal
        token = live.tokens.mint(
            endpoint_id=record.endpoint.id,
            thumbprint=proof.thumbprint,
            now=max(now, record.presence.tokens_from),
            lifetime=limits.ACCESS_TOKEN_LIFETIME,
            token_id=self._entropy(8),
        )
        return TokenAnswer(token, limits.ACCESS_TOKEN_LIFETIME)

    async def revoke(self, signed: SignedRequest, form: Mapping[str, str]) -> Refusal | None:
        """Revoke the caller's tokens up to the one presented (RFC 7009); an unknown token is no error."""
        live, now = self._live.current, int(self._clock())
        record = await self._client(live, signed, form, now)
        if isinstance(record, Refusal):
            return record
        token = live.tokens.read(form.get("token", ""), now)
        if not isinstance(token, Refusal) and token.endpoint_id == record.endpoint.id:
            async with self._database.write() as conn:
                await endpoints.revoke_tokens(conn, record.endpoint.id, token.issued_at + 1)
        return None

    async def _client(
        self, live: Live, signed: SignedRequest, form: Mapping[str, str], now: int
    ) -> EndpointRecord | Refusal:
        """Authenticate the client by its assertion (RFC 7523 section 3)."""
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
            return Refusal(RefusalClass.UNAUTHENTICATED, expected="a client assertion signed with the device key")
        assertion = form["client_assertion"]
        claims = _unverified(assertion)
        if claims is None or claims.iss != claims.sub or form.get("client_id", claims.sub) != claims.sub:
            return Refusal(RefusalClass.UNAUTHENTICATED, "the client assertion is not one")
        endpoint_id = ids.parse_endpoint_id(claims.sub)
        if endpoint_id is None:
            return Refusal(RefusalClass.UNAUTHENTICATED, "the subject is not an endpoint id")
        async with self._database.read() as conn:
            record = await endpoints.get(conn, endpoint_id)
        if record is None or not _signed_by(assertion, record.endpoint.public_jwk):
            return Refusal(RefusalClass.UNAUTHENTICATED, "no such device key is on record")
        return _stale(live, signed, claims, now) or self._once(endpoint_id, claims, now) or record

    async def _superseded(self, form: Mapping[str, str], proof: Proof) -> Refusal | None:
        """Tell the holder of a former device key that it is one, and nobody else."""
        if not _signed_by(form.get("client_assertion", ""), proof.public_jwk):
            return None
        async with self._database.read() as conn:
            record = await endpoints.by_thumbprint(conn, proof.thumbprint)
        if record is None or record.endpoint.thumbprint == proof.thumbprint:
            return None
        return Refusal(
            RefusalClass.KEY_SUPERSEDED,
            presented=f"a former device key of endpoint {record.endpoint.id}",
            expected="its newest device key, or a recovery check-in",
        )

    async def _closed(self, live: Live, record: EndpointRecord) -> Refusal | None:
        """Refuse an endpoint whose ring is not to use OAuth (any more)."""
        if live.oauth_everywhere:
            return None
        async with self._database.read() as conn:
            package = await packages.get(conn, record.endpoint.package_id)
        return mode_refusal(live, package.ring if package else "", Mode.OAUTH)

    def _once(self, endpoint_id: str, claims: Assertion, now: int) -> Refusal | None:
        if self._seen.first(f"{endpoint_id}/{claims.jti}", now, int(claims.exp) + limits.ASSERTION_LEEWAY):
            return None
        return Refusal(RefusalClass.REPLAYED, "this client assertion was used before")


def _fresh_proof(live: Live, signed: SignedRequest, now: int) -> Proof | Refusal:
    proof = dpop.verify_proof(signed.proof, method=signed.method, path=signed.path, origins=live.origins)
    if isinstance(proof, Refusal):
        return proof
    nonce = fresh_nonce(live, proof, now, limits.FRESH_NONCE_LIFETIME)
    return nonce if isinstance(nonce, Refusal) else proof


def _unverified(assertion: str) -> Assertion | None:
    """Read the claims to find the client; nothing is believed before the signature is checked."""
    try:
        return decode_json(jws.extract_compact(assertion.encode("ascii", "replace")).payload, Assertion)
    except (JoseError, ValueError):
        return None


def _signed_by(assertion: str, jwk: Mapping[str, str]) -> bool:
    try:
        jws.deserialize_compact(assertion, ECKey.import_key(dict(jwk)), algorithms=["ES256"])
    except (JoseError, ValueError):
        return False
    return True


def _stale(live: Live, signed: SignedRequest, claims: Assertion, now: int) -> Refusal | None:
    accepted = live.origins | {origin + signed.path for origin in live.origins}
    if not accepted.intersection(claims.audiences()):
        return Refusal(
            RefusalClass.UNAUTHENTICATED,
            "the client assertion is meant for another server",
            expected=live.issuer,
        )
    latest = now + limits.ASSERTION_LEEWAY + limits.ASSERTION_LIFETIME
    if not now - limits.ASSERTION_LEEWAY <= claims.exp <= latest:
        return Refusal(RefusalClass.STALE_TIME, "the client assertion is not of this time; use the server's")
    return None
