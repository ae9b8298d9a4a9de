"""What the agent does beside check-ins: probe an access before it counts, and ask for one that was lost.

Both send a request over each of its routes, sign again where the server gives a new nonce, and end in one
record. What must be on disk before a request leaves is stored through ``Means.store``.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from keyfast.agent import absorb, decide, evidence, recovery, renewal, requests, transaction
from keyfast.agent.client_database import KeyPair, Record
from keyfast.agent.clock import Clock
from keyfast.agent.decide import Circumstances
from keyfast.agent.link import Link
from keyfast.agent.new_keys import with_delegations
from keyfast.agent.outcome import Answered, Heard, Outcome, Refused, Unreached
from keyfast.agent.requests import Request, Signing
from keyfast.agent.routes import Route, candidate_routes, recovery_routes
from keyfast.agent.timing import server_now
from keyfast.core.change import ACCESS_REFUSED
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.errors import TrustError
from keyfast.wire.changes import ProbeAnswer, Recovered
from keyfast.wire.messages import Hardware

T = TypeVar("T")
Make = Callable[[Record], Request]
MAX_SIGNED = 3
"""Times one request is signed again with a newer nonce."""
_SIGN_AGAIN = frozenset({RefusalClass.USE_NONCE.value, RefusalClass.STALE_TIME.value})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What an errand takes.

    Attributes:
        link: sends requests.
        clock: the endpoint's clocks.
        chance: uniform random numbers in [0, 1).
        new_id: fresh random ids.
        store: makes a record durable.
        extra_url: one more URL of a server that an installer was given, empty if none.
    """

    link: Link
    clock: Clock
    chance: Callable[[], float]
    new_id: Callable[[], str]
    store: Callable[[Record], None]
    extra_url: str = ""

    def here(self) -> Circumstances:
        """What a decision depends on besides the record."""
        return Circumstances(self.clock.now(), self.chance())

    def signing(self, route: Route) -> Signing:
        """What a request over ``route`` is signed with."""
        return Signing(route.audience, self.clock.now(), self.new_id)


async def probe(record: Record, means: Means) -> Record:
    """Try the candidate over each of its routes; return the record after it passed, or did not."""
    here = means.here()
    record = transaction.probe_begun(record, here.now, here.chance)
    means.store(record)
    why = "its access profile names no usable URL"
    for route in candidate_routes(record):
        record, outcome = await _probed(record, route, means)
        if outcome is None:
            _log.info("the new access works at %s", route.url)
            return transaction.probe_passed(record)
        why = _why(route, outcome)
        _log.info("the new access does not work: %s", why)
        if isinstance(outcome, Refused) and outcome.kind in ACCESS_REFUSED:
            return _not_passed(record, why, means, outcome)
    return _not_passed(record, why, means)


def _not_passed(record: Record, why: str, means: Means, said: Refused | None = None) -> Record:
    here = means.here()
    kind, tried = (said.kind, said.tried) if said else ("", False)
    return transaction.probe_failed(record, why, here.now, here.chance, refusal=kind, tried=tried)


async def _probed(record: Record, route: Route, means: Means) -> tuple[Record, Outcome | None]:
    """Probe over one route; the outcome is None if the proof holds."""
    record, outcome = await _with_token(record, route, means)
    if outcome is not None:
        return record, outcome
    change, challenge = record.change, means.new_id()
    if change is None:
        return record, Unreached("there is no change in hand")
    body = msgspec.json.encode(requests.probe_body(change, challenge))

    def make(record: Record) -> Request:
        return requests.probe_request(record, change, body, means.signing(route))

    record, outcome = await _settled(record, route, make, means)
    if not isinstance(outcome, Answered):
        if isinstance(outcome, Refused) and change.mode is Mode.OAUTH:
            # Whatever is wrong with it, the next try is made with a fresh one.
            record = replace(record, change=replace(change, token_expires_at=0))
        return record, outcome
    try:
        evidence.check_probe(record, _decoded(outcome, ProbeAnswer), change.id, challenge)
    except TrustError as cause:
        return record, Unreached(f"{route.url}: {cause.message}")
    return record, None


async def _with_token(record: Record, route: Route, means: Means) -> tuple[Record, Outcome | None]:
    """Fetch the candidate's own token where its mode takes one; the outcome is None if there is one."""
    change = record.change
    if change is None or change.mode is not Mode.OAUTH:
        return record, None
    now = server_now(record.anchor, means.clock.now())
    if change.token and change.token_expires_at - now >= decide.TOKEN_MARGIN:
        return record, None
    record, outcome = await _settled(
        record, route, lambda record: requests.token_request(record, means.signing(route)), means
    )
    if not isinstance(outcome, Answered):
        return record, outcome
    try:
        token = _decoded(outcome, absorb.Token)
    except TrustError as cause:
        return record, Unreached(f"{route.url}: {cause.message}")
    ends = server_now(record.anchor, means.clock.now()) + token.expires_in
    return replace(record, change=replace(change, token=token.access_token, token_expires_at=ends)), None


async def _settled(record: Record, route: Route, make: Make, means: Means) -> tuple[Record, Outcome]:
    """Send until the answer is about more than a nonce."""
    for _ in range(MAX_SIGNED):
        outcome = await means.link.send(route, make(record), evidence.chain_of(record))
        if isinstance(outcome, Unreached):
            return record, outcome
        record = decide.hear(record, outcome.heard, means.clock.now())
        if not (isinstance(outcome, Refused) and outcome.kind in _SIGN_AGAIN and outcome.heard.nonce):
            return record, outcome
    return record, outcome


async def recover(record: Record, hostname: str, hardware: Hardware, means: Means) -> Record:
    """Ask over every route until a server of this installation answers; return the record after it."""
    here = means.here()
    record = recovery.begun(record, here.now, here.chance)
    means.store(record)
    asking = _Asking(hostname, hardware, means)
    ways, untrusted = recovery_routes(record, means.extra_url), 0
    for route in ways:
        record, outcome = await asking.over(record, route)
        if outcome is None:
            return record
        untrusted += isinstance(outcome, Unreached) and outcome.untrusted
    if ways and untrusted == len(ways):
        # Nothing that travels is secret and every answer is signed: better asked in the open than stranded.
        _log.warning("no certificate of any server holds; asking for recovery over TLS that is not verified")
        for route in ways:
            record, outcome = await asking.over(record, route, verified=False)
            if outcome is None:
                return record
    return recovery.unanswered(record)


class _Asking:
    """One round of asking: signed over every route, by another key where that is not known, anonymously once."""

    def __init__(self, hostname: str, hardware: Hardware, means: Means) -> None:
        self._hostname = hostname
        self._hardware = hardware
        self._means = means
        self._anonymous = False

    async def over(self, record: Record, route: Route, *, verified: bool = True) -> tuple[Record, Outcome | None]:
        """Ask over one route; the outcome is None if the answer is one to go by."""
        in_use = KeyPair(record.device_key, record.seal_key)
        record, outcome = await self._asked(record, route, in_use, verified=verified)
        if not isinstance(outcome, Refused):
            return record, outcome
        _log.info("recovery at %s refused: %s (%s)", route.url, outcome.kind, outcome.detail)
        asks = record.recovery.asks if record.recovery else 0
        former = renewal.vouching(record, asks) if outcome.kind in recovery.KEY_NOT_KNOWN else None
        if former is not None:
            record, second = await self._asked(record, route, former, verified=verified)
            if second is None:
                return record, None
        if outcome.kind in recovery.THEN_ANONYMOUSLY and record.endpoint_id and not self._anonymous:
            self._anonymous = True
            record, second = await self._asked(record, route, None, verified=verified)
            if second is None:
                return record, None
        here = self._means.here()
        return recovery.told_to_wait(record, outcome.retry_after, here.now, here.chance), outcome

    async def _asked(
        self, record: Record, route: Route, signer: KeyPair | None, *, verified: bool
    ) -> tuple[Record, Outcome | None]:
        challenge = self._means.new_id()
        for _ in range(MAX_SIGNED):
            request = self._request(record, route, challenge, signer)
            outcome = await self._sent(route, request, record, verified=verified)
            if isinstance(outcome, Unreached):
                return record, outcome
            # Whoever answers unverified TLS may give a nonce to sign, and is believed nothing else.
            heard = outcome.heard if verified else Heard(outcome.heard.nonce)
            record = decide.hear(record, heard, self._means.clock.now())
            if not (isinstance(outcome, Refused) and outcome.kind in _SIGN_AGAIN and heard.nonce):
                break
        if not isinstance(outcome, Answered):
            return record, outcome
        try:
            return self._taken(record, outcome, challenge, verified=verified), None
        except TrustError as cause:
            _log.warning("the recovery answer of %s is not trusted: %s", route.url, cause.message)
            return record, Unreached(f"{route.url}: {cause.message}")

    def _request(self, record: Record, route: Route, challenge: str, signer: KeyPair | None) -> Request:
        body = (
            requests.recover_body(record, self._hostname, self._hardware, challenge, signer)
            if signer
            else requests.anonymous_body(record, challenge)
        )
        return requests.recover_request(record, msgspec.json.encode(body), self._means.signing(route), signer)

    async def _sent(self, route: Route, request: Request, record: Record, *, verified: bool) -> Outcome:
        if verified:
            return await self._means.link.send(route, request, evidence.chain_of(record))
        return await self._means.link.send_unverified(route, request)

    def _taken(self, record: Record, outcome: Answered, challenge: str, *, verified: bool) -> Record:
        """Return the record after an answer whose signatures hold.

        Raises:
            TrustError: they do not, and nothing is taken from it.
        """
        answer = _decoded(outcome, Recovered)
        known = with_delegations(record, answer.delegations)
        brought = evidence.check_recovered(known, answer, challenge, vouched=verified)
        return absorb.recovered(known, brought, self._means.here())


def _why(route: Route, outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        return f"{route.url} refused: {outcome.kind}" + (f" ({outcome.detail})" if outcome.detail else "")
    return outcome.why if isinstance(outcome, Unreached) else route.url


def _decoded(outcome: Answered, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(outcome.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise TrustError("the answer is not what the protocol says") from cause
