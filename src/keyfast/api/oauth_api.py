"""The OAuth server: metadata (RFC 8414), keys, registration (7591), tokens (6749, 7523, 9449).

Revocation is RFC 7009; introspection (7662) is on the admin API, since only administrators may ask.

Errors follow RFC 6749 section 5.2 and carry our refusal class and the server's time besides.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import NotReadyError
from keyfast.services.enrol import EnrolService
from keyfast.services.live import LiveState
from keyfast.services.tokens import TokenService
from keyfast.services.traffic import TrafficCounter
from keyfast.wire import limits, messages, problems

K = RefusalClass

ERRORS: Mapping[RefusalClass, tuple[int, str]] = {
    K.USE_NONCE: (400, "use_dpop_nonce"),
    K.STALE_TIME: (401, "invalid_client"),
    K.UNAUTHENTICATED: (401, "invalid_client"),
    K.REPLAYED: (401, "invalid_client"),
    K.PENDING: (400, "unauthorized_client"),
    K.REVOKED: (400, "unauthorized_client"),
    K.KEY_SUPERSEDED: (400, "unauthorized_client"),
    K.MALFORMED: (400, "invalid_request"),
    K.TOO_LARGE: (413, "invalid_request"),
    K.WRONG_MEDIA_TYPE: (415, "invalid_request"),
    K.FOREIGN_INSTALLATION: (400, "invalid_software_statement"),
    K.ENROLMENT_EXPIRED: (400, "unapproved_software_statement"),
    K.ENROLMENT_EXHAUSTED: (400, "unapproved_software_statement"),
    K.ENROLMENT_REVOKED: (400, "unapproved_software_statement"),
    K.ENROLMENT_NOT_LISTED: (400, "unapproved_software_statement"),
    K.NOT_READY: (503, "temporarily_unavailable"),
}
"""HTTP status and OAuth error code of each class that these endpoints answer."""

MAX_FIELDS = 32


class OAuthApi:
    """Handlers of ``/oauth`` and of the metadata document."""

    def __init__(
        self,
        live: LiveState,
        enrol: EnrolService,
        tokens: TokenService,
        traffic: TrafficCounter,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._enrol = enrol
        self._tokens = tokens
        self._traffic = traffic
        self._clock = clock

    async def metadata(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """``GET /.well-known/oauth-authorization-server``."""
        return http.answer(msgspec.json.encode(metadata(self._live.current.issuer)))

    async def jwks(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """``GET /oauth/jwks``: the public halves of every key that signs statements."""
        return http.answer(msgspec.json.encode(self._live.current.keyset.jwks()), media_type="application/jwk-set+json")

    async def register(self, request: Request) -> Response:
        """``POST /oauth/register``."""
        body = await http.read_body(request, http.JSON, limits.MAX_REGISTER_BYTES)
        if isinstance(body, Refusal):
            return self._refused(body)
        try:
            outcome = await self._enrol.register(http.signed_request(request), body)
        except NotReadyError as fault:
            return self._refused(http.not_ready(fault))
        if isinstance(outcome, Refusal):
            return self._refused(outcome)
        return http.answer(messages.encode(outcome), self._nonce(), status=201)

    async def token(self, request: Request) -> Response:
        """``POST /oauth/token``."""
        form = await _form(request)
        if isinstance(form, Refusal):
            return self._refused(form)
        if form.get("grant_type") != "client_credentials":
            return self._error(400, "unsupported_grant_type", Refusal(K.MALFORMED, expected="client_credentials"))
        try:
            outcome = await self._tokens.issue(http.signed_request(request), form)
        except NotReadyError as fault:
            return self._refused(http.not_ready(fault))
        if isinstance(outcome, Refusal):
            self._traffic.refused(outcome.kind)
            return self._refused(outcome)
        return http.answer(messages.encode(outcome), self._nonce())

    async def revoke(self, request: Request) -> Response:
        """``POST /oauth/revoke``."""
        form = await _form(request)
        if isinstance(form, Refusal):
            return self._refused(form)
        try:
            refusal = await self._tokens.revoke(http.signed_request(request), form)
        except NotReadyError as fault:
            return self._refused(http.not_ready(fault))
        return http.answer(b"{}", self._nonce()) if refusal is None else self._refused(refusal)

    def _nonce(self) -> str:
        return self._live.current.nonces.issue(int(self._clock()))

    def _refused(self, refusal: Refusal) -> Response:
        status, error = ERRORS.get(refusal.kind, (400, "invalid_request"))
        return self._error(status, error, refusal)

    def _error(self, status: int, error: str, refusal: Refusal) -> Response:
        body = msgspec.json.decode(problems.problem_bytes(refusal, int(self._clock())))
        body |= {"error": error, "error_description": refusal.detail or refusal.rule.title, "status": status}
        response = http.answer(msgspec.json.encode(body), self._nonce(), status)
        if refusal.kind is K.NOT_READY:
            response.headers["retry-after"] = str(refusal.retry_after or 30)
        return response


def metadata(issuer: str) -> dict[str, object]:
    """The authorization server's metadata, checked by the library against RFC 8414."""
    document = AuthorizationServerMetadata(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth/token",
            "registration_endpoint": f"{issuer}/oauth/register",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "jwks_uri": f"{issuer}/oauth/jwks",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": ["none"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "keyfast_wire_versions_supported": [limits.WIRE_VERSION],
        }
    )
    document.validate()
    return dict(document)


async def _form(request: Request) -> dict[str, str] | Refusal:
    body = await http.read_body(request, http.FORM, limits.MAX_FORM_BYTES)
    if isinstance(body, Refusal):
        return body
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return Refusal(K.MALFORMED, "not a form")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        return Refusal(K.MALFORMED, "a parameter is included more than once")
    return fields
