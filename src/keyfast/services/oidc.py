"""Single sign-on by OpenID Connect: the authorization code flow with PKCE, for people who are on record here.

The provider says who somebody is; what they may do is decided here. What a browser is to bring back waits for
ten minutes under the ticket in a cookie: an answer that another browser began is nobody's.
"""

import asyncio
import hmac
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx2
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.jwk import KeySet

from keyfast.core.person import Session
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import ForbiddenError, NotReadyError, NotSignedInError, TrustError, UsageError
from keyfast.services.sign_in import SignInService
from keyfast.services.waiting import Waiting
from keyfast.settings import OidcSettings
from keyfast.trust.id_token import Identity, read_id_token, read_keys

PATH = "/sign-in/oidc/answer"
"""Where the provider sends the browser back to, below ``console.url``."""
KEEP_SECONDS = 3600
TIMEOUT = 10.0
MAX_ANSWER = 256 * 1024


class Provider(msgspec.Struct, frozen=True):
    """What a provider says of itself (OpenID Connect Discovery 1.0 section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Leaving(msgspec.Struct, frozen=True):
    """Where a browser is sent.

    Attributes:
        ticket: for a cookie, which it brings back.
    """

    url: str
    ticket: Secret


class _Pending(msgspec.Struct, frozen=True):
    state: str
    nonce: str
    verifier: str
    next: str


class _TokenAnswer(msgspec.Struct, frozen=True):
    id_token: str


class OidcService:
    """Sends browsers to the provider and takes them back.

    Args:
        settings: which provider, and who we are to it.
        secret: reads what proves that; raises `UsageError`.
        home: URL of the console, as browsers reach it.
        sign_in: begins sessions.
        clock: unix seconds.
    """

    def __init__(
        self,
        settings: OidcSettings,
        secret: Callable[[], Secret],
        home: str,
        sign_in: SignInService,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._home = home
        self._sign_in = sign_in
        self._clock = clock
        self._pending: Waiting[_Pending] = Waiting(clock)
        self._provider: tuple[Provider, KeySet, int] | None = None
        self._reading = asyncio.Lock()

    async def begin(self, next_: str, *, again: bool = False) -> Leaving:
        """Send a browser away.

        Args:
            next_: where it goes afterwards.
            again: have the person prove anew who they are, though the provider may know.

        Raises:
            NotReadyError, TrustError: the provider cannot be asked, or what it says of itself does not hold.
        """
        provider, _ = await self._known()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = prepare_grant_uri(
            provider.authorization_endpoint,
            self._settings.client_id,
            "code",
            self._home + PATH,
            "openid profile email",
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            **({"prompt": "login", "max_age": "0"} if again else {}),
        )
        return Leaving(url, self._pending.put(_Pending(state, nonce, verifier, next_)))

    async def finish(self, ticket: str, query: Mapping[str, str], address: str) -> tuple[Session, str]:
        """Take a browser back; return its session, and where it goes.

        Raises:
            NotSignedInError: this browser was not sent away, or too long ago, or the provider said no.
            ForbiddenError: they are nobody here, or not to come in.
            NotReadyError, TrustError: the provider cannot be asked, or what it says does not hold.
        """
        found = self._pending.take(ticket)
        begin_anew = "the sign-in took too long or was begun elsewhere; begin again"
        if found is None:
            raise NotSignedInError(begin_anew)
        if not hmac.compare_digest(found.state.encode(), query.get("state", "").encode("utf-8", "replace")):
            raise NotSignedInError(begin_anew)
        # RFC 9207: an answer that says another issuer was meant for another.
        if "error" in query or query.get("iss", self._settings.issuer) != self._settings.issuer:
            raise NotSignedInError(
                f"the identity provider said no: {visible(query.get('error', 'another issuer'), 60)}"
            )
        identity = await self._identity(query.get("code", ""), found)
        return await self._admitted(identity, address), found.next

    async def _admitted(self, identity: Identity, address: str) -> Session:
        name = identity.claims.get(self._settings.claim)
        if not isinstance(name, str) or not name.strip():
            raise ForbiddenError(f"the identity provider does not say {self._settings.claim}", repair="see oidc.claim")
        name = name.strip().lower()
        session = await self._sign_in.admit(name, identity.subject, identity.proved_at, address)
        if session is None:
            raise ForbiddenError(
                f"{visible(name, 64)} may not sign in here", repair="ask an administrator: keyfast person add or reset"
            )
        return session

    async def _identity(self, code: str, found: _Pending) -> Identity:
        provider, keys = await self._known()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._home + PATH,
            "code_verifier": found.verifier,
        }
        body = await self._fetch("POST", provider.token_endpoint, data=form, auth=self._credentials())
        try:
            answer = msgspec.json.decode(body, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as cause:
            raise TrustError("the identity provider gave no ID token") from cause
        how: dict[str, Any] = {
            "issuer": self._settings.issuer,
            "client_id": self._settings.client_id,
            "nonce": found.nonce,
            "now": int(self._clock()),
        }
        try:
            return read_id_token(answer.id_token, keys, **how)
        except TrustError:
            # It may have new keys since; once more with those, then it is final.
            self._provider = None
            _, keys = await self._known()
            return read_id_token(answer.id_token, keys, **how)

    async def _known(self) -> tuple[Provider, KeySet]:
        """Return the provider and its keys, read again every hour."""
        async with self._reading:
            now = int(self._clock())
            if self._provider is None or not 0 <= now - self._provider[2] < KEEP_SECONDS:
                provider = await self._discovered()
                keys = read_keys(await self._fetch("GET", provider.jwks_uri))
                self._provider = (provider, keys, now)
            return self._provider[:2]

    async def _discovered(self) -> Provider:
        url = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._fetch("GET", url), type=Provider)
        except (msgspec.DecodeError, UnicodeDecodeError) as cause:
            raise TrustError("what the identity provider says of itself cannot be read") from cause
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        if found.issuer != self._settings.issuer or not all(place.startswith("https://") for place in places):
            raise TrustError(f"the identity provider is not {self._settings.issuer}", repair="see oidc.issuer")
        return found

    def _credentials(self) -> httpx2.BasicAuth:
        try:
            secret = self._secret().reveal().decode("utf-8").strip()
        except (UsageError, UnicodeDecodeError) as cause:
            raise NotReadyError("the secret that the identity provider knows this server by cannot be used") from cause
        # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        return httpx2.BasicAuth(*(quote_plus(part) for part in (self._settings.client_id, secret)))

    async def _fetch(self, method: str, url: str, **request: Any) -> bytes:
        """Ask the provider; certificates are verified, redirects are not followed, answers are bounded."""
        ca = self._settings.ca
        try:
            trusted = ssl.create_default_context(cafile=None if ca is None else str(ca))
            async with (
                httpx2.AsyncClient(verify=trusted, timeout=TIMEOUT, trust_env=False) as http,
                http.stream(method, url, headers={"accept": "application/json"}, **request) as answer,
            ):
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise TrustError("the identity provider's answer is too large")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as cause:
            raise NotReadyError(f"the identity provider does not answer: {type(cause).__name__}") from cause
        if not answer.is_success:
            raise NotSignedInError(f"the identity provider refused ({answer.status_code})")
        return body
