"""The link: sends one request over one route and says what became of it. Never raises for the network."""

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import httpx2
import msgspec

from keyfast.agent import tls
from keyfast.agent.clock import Clock
from keyfast.agent.evidence import signed_time
from keyfast.agent.handshake import Handshakes, Logon, Reply
from keyfast.agent.outcome import Outcome, Refused, Unreached, read_outcome
from keyfast.agent.requests import TIME, Request
from keyfast.agent.routes import Route
from keyfast.agent.timing import Anchor
from keyfast.errors import TrustError
from keyfast.trust.keyset import TrustChain

MAX_ANSWER_BYTES = 512 * 1024
TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
LIMITS = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60.0)
"""One connection, because the legs of a logon have to take the same."""
KDC_REFUSED = {"keyfast-kdc": "refused"}
Connect = Callable[[ssl.SSLContext], httpx2.AsyncBaseTransport]

_log = logging.getLogger(__name__)


class _TimeAnswer(msgspec.Struct, frozen=True):
    """Answer of ``GET /endpoint/v1/time``."""

    statement: str
    delegations: tuple[str, ...] = ()


def direct(context: ssl.SSLContext) -> httpx2.AsyncBaseTransport:
    """Connect without a proxy."""
    return httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=LIMITS)


class Link:
    """Connections to servers; kept between the requests of one visit and closed by ``rest``.

    Args:
        clock: the endpoint's clocks, to carry a signed time forward.
        new_id: fresh random ids.
        connect: makes a transport from a TLS context.
    """

    def __init__(self, clock: Clock, new_id: Callable[[], str], connect: Connect = direct) -> None:
        self._clock = clock
        self._new_id = new_id
        self._connect = connect
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._signed: Anchor | None = None
        self._handshakes = Handshakes(clock)

    async def send_unverified(self, route: Route, request: Request) -> Outcome:
        """Send ``request`` over TLS that proves nothing: it must hold no secret, and its answer be signed."""
        try:
            async with self._client_over(tls.unverified_context()) as client:
                return (await self._leg(client, route, request, "")).outcome
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as cause:
            return _unreached(route, cause)

    async def send(self, route: Route, request: Request, chain: TrustChain) -> Outcome:
        """Send ``request`` to ``route``; ``chain`` is asked only if the server must prove the time."""
        try:
            return await self._exchange(self._client(route.ca), route, request)
        except (httpx2.HTTPError, httpx2.InvalidURL, TrustError, OSError) as cause:
            if self._signed is not None or not tls.refused_for_time(cause):
                return _unreached(route, cause)
        try:
            await self._learn_time(route, chain)
            return await self._exchange(self._client(route.ca), route, request)
        except (httpx2.HTTPError, httpx2.InvalidURL, TrustError, OSError) as cause:
            return _unreached(route, cause)

    async def rest(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            # A connection that cannot even be closed properly is gone all the same.
            with suppress(httpx2.HTTPError, OSError):
                await client.aclose()

    def _client(self, ca: str) -> httpx2.AsyncClient:
        if ca not in self._clients:
            context = tls.strict_context(ca) if self._signed is None else tls.dated_context(ca, self._server_time)
            self._clients[ca] = self._client_over(context)
        return self._clients[ca]

    def _client_over(self, context: ssl.SSLContext) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=self._connect(context), timeout=TIMEOUT, trust_env=False)

    def _server_time(self) -> int | None:
        return None if self._signed is None else self._signed.server_now(self._clock.now())

    async def _learn_time(self, route: Route, chain: TrustChain) -> None:
        """Ask for the time over a connection whose dates nobody checks; the signature is what counts."""
        challenge = self._new_id()
        undated = tls.dated_context(route.ca, self._server_time)
        async with self._client_over(undated) as client:
            response = await client.get(route.url + TIME, params={"challenge": challenge})
            try:
                answer = msgspec.json.decode(response.content, type=_TimeAnswer)
            except (msgspec.DecodeError, UnicodeDecodeError) as cause:
                raise TrustError("the server did not tell its time") from cause
        # The key that signs time may be younger than what this endpoint knows; its delegation travels along.
        now = signed_time(chain.walk(answer.delegations), answer.statement, challenge)
        _log.warning("this endpoint's clock is wrong; going by the server's signed time %d", now)
        self._signed = Anchor(now, self._clock.now())
        await self.rest()

    async def _exchange(self, client: httpx2.AsyncClient, route: Route, request: Request) -> Outcome:
        leg = partial(self._leg, client, route, request)
        if request.account is None:
            return (await leg("")).outcome
        outcome = await self._handshakes.run(leg, Logon(request.account, route.url, route.mechanisms))
        if isinstance(outcome, Refused) and outcome.by_kdc:
            # So that the server looks at the account before others show the same password to a KDC.
            with suppress(httpx2.HTTPError, OSError):
                await self._leg(client, route, replace(request, headers=request.headers | KDC_REFUSED), "")
        return outcome

    async def _leg(self, client: httpx2.AsyncClient, route: Route, request: Request, authorization: str) -> Reply:
        """Send the request once; the same one in every leg of a logon."""
        body = bytearray()
        headers = request.headers | {"authorization": authorization} if authorization else request.headers
        async with client.stream(
            request.method, route.url + request.path, headers=headers, content=request.body or None
        ) as response:
            offers = tuple(response.headers.get_list("www-authenticate"))
            certificate = _certificate(response)
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    outcome: Outcome = Unreached(f"the answer of {route.url} is too large")
                    return Reply(response.status_code, offers, outcome, certificate)
        outcome = read_outcome(response.status_code, response.headers, bytes(body))
        return Reply(response.status_code, offers, outcome, certificate)


def _certificate(response: httpx2.Response) -> bytes | None:
    stream = response.extensions.get("network_stream")
    tls_object = stream.get_extra_info("ssl_object") if stream is not None else None
    return tls_object.getpeercert(binary_form=True) if tls_object is not None else None


def _unreached(route: Route, cause: BaseException) -> Unreached:
    return Unreached(f"{route.url}: {str(cause) or type(cause).__name__}", tls.refused_for_trust(cause))
