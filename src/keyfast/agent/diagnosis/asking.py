"""Collectors that ask a server: who is there, what time it is, and whether it takes the access in use.

Nothing that is learned is stored, nothing counts as a check-in, and no password is presented that is on hold.
"""

import time
from collections.abc import Callable

import httpx2
import msgspec
from msgspec.structs import replace

from keyfast.agent import absorb, decide, evidence, hold, requests, tls
from keyfast.agent.client_database import Admission, HeldChange, Record
from keyfast.agent.clock import Clock
from keyfast.agent.diagnosis.facts import Hello, Probed, Said, Who
from keyfast.agent.link import Connect, Link
from keyfast.agent.outcome import Answered, Outcome, Refused, Unreached, read_outcome
from keyfast.agent.requests import TIME, Request, Signing
from keyfast.agent.routes import Route
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.errors import KeyfastError, TrustError
from keyfast.trust.statement import unverified_payload
from keyfast.wire.changes import ProbeAnswer
from keyfast.wire.messages import SelfRecord, SignedTime

SECONDS = 10.0
"""How long one request may take."""
_ANSWER_BYTES = 64 * 1024
_SIGN_AGAIN = frozenset({RefusalClass.USE_NONCE.value, RefusalClass.STALE_TIME.value})
_MAX_SIGNED = 3
_KEPT = "the password was refused a short while ago and is not presented again yet"
_NO_WORD_ON_IT = {
    RefusalClass.UNAUTHENTICATED.value: f"the server would take a logon; {_KEPT}",
    RefusalClass.NOT_READY.value: f"the server says nothing about it now; {_KEPT}",
}
"""Where the password is kept, these refusals are no word on it: what is known of it is the last one."""


class _TimeAnswer(msgspec.Struct, frozen=True):
    """Answer of ``GET /endpoint/v1/time``."""

    statement: str
    delegations: tuple[str, ...] = ()


async def hello(route: Route, record: Record, clock: Clock, new_id: Callable[[], str], connect: Connect) -> Hello:
    """Ask who is there and what time it is, over TLS that proves nothing: the answer is signed, the question open."""
    challenge = new_id()
    transport = connect(tls.unverified_context())
    try:
        async with httpx2.AsyncClient(transport=transport, timeout=SECONDS, trust_env=False) as client:
            begun = time.monotonic()
            async with client.stream("GET", route.url + TIME, params={"challenge": challenge}) as response:
                status, body = response.status_code, b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES:
                        return Hello(Who.STRANGER, status=status, detail="its answer is too large")
            travelled = time.monotonic() - begun
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as cause:
        return Hello(Who.NOBODY, detail=str(cause) or type(cause).__name__)
    return _judged(record, challenge, status, body, clock.now().wall - travelled / 2)


def _judged(record: Record, challenge: str, status: int, body: bytes, wall: float) -> Hello:
    try:
        answer = msgspec.json.decode(body, type=_TimeAnswer)
        claimed = msgspec.json.decode(unverified_payload(answer.statement), type=SignedTime)
    except (msgspec.DecodeError, UnicodeDecodeError, TrustError):
        return _without_time(status, body)
    if claimed.installation != record.installation:
        return Hello(Who.FOREIGN, detail=f"it is of installation {claimed.installation}")
    try:
        now = evidence.signed_time(evidence.chain_of(record).walk(answer.delegations), answer.statement, challenge)
    except TrustError as cause:
        return Hello(Who.UNPROVEN, detail=cause.message)
    return Hello(Who.OURS, now, round(wall - now))


def _without_time(status: int, body: bytes) -> Hello:
    """A Keyfast server that cannot answer now says so in a problem of its own; anything else is a stranger."""
    outcome = read_outcome(status, {}, body)
    if isinstance(outcome, Refused):
        return Hello(Who.UNPROVEN, status=status, detail=outcome.detail or outcome.kind)
    return Hello(Who.STRANGER, status=status, detail=f"it answers with status {status}, and not as Keyfast does")


class _Noted(httpx2.AsyncBaseTransport):
    """Notes the status of the last answer."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, note: Callable[[int], None]) -> None:
        self._inner, self._note = inner, note

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        self._note(response.status_code)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Asker:
    """Asks over one route after the other whether the access in use is taken.

    Args:
        clock: the endpoint's clocks.
        new_id: fresh random ids.
        connect: makes a transport from a TLS context.
    """

    def __init__(self, clock: Clock, new_id: Callable[[], str], connect: Connect) -> None:
        self._clock, self._new_id = clock, new_id
        self._status = 0
        self._link = Link(clock, new_id, lambda context: _Noted(connect(context), self._note))

    def _note(self, status: int) -> None:
        self._status = status

    async def ask(self, record: Record, ways: tuple[Route, ...]) -> Probed:
        """Ask until a server answers; the record is looked at and never stored."""
        if record.admission is not Admission.REGISTERED:
            waits = record.admission is Admission.PENDING
            why = "it waits for an administrator's approval" if waits else "it is not enrolled yet"
            return Probed(Said.NOT_ASKED, detail=why)
        last = Probed(Said.UNREACHED, detail="no name of a server has an address")
        try:
            for route in ways:
                last = await self._over(route, replace(record, nonce=""))
                if last.said is not Said.UNREACHED:
                    return last
        except KeyfastError as cause:
            return Probed(Said.NOT_ASKED, detail=cause.message)
        finally:
            await self._link.rest()
        return last

    async def _over(self, route: Route, record: Record) -> Probed:
        self._status = 0
        record, refused = await self._with_token(record, route)
        if refused is not None:
            return self._told(route, refused)
        kept = record.mode is Mode.WINDOWS and hold.remaining(record.hold, record.credential, self._clock.now()) > 0
        # An id that no change has: the server proves that it lets this access in, and moves nothing.
        trial, challenge = _trial(record, self._new_id()), self._new_id()
        body = msgspec.json.encode(requests.probe_body(trial, challenge))

        def make(record: Record) -> Request:
            made = requests.probe_request(record, replace(trial, token=record.token), body, self._signing(route))
            return requests.without_logon(made) if kept else made

        record, outcome = await self._settled(record, route, make)
        outcome = await self._named(record, route, outcome)
        if kept and isinstance(outcome, Refused) and outcome.kind in _NO_WORD_ON_IT:
            told = _NO_WORD_ON_IT[outcome.kind]
            return Probed(Said.NOT_ASKED, route.url, detail=told, status=self._status, password_kept=True)
        judged = replace(self._told(route, outcome), password_kept=kept)
        if not isinstance(outcome, Answered):
            return judged
        try:
            evidence.check_probe(record, msgspec.json.decode(outcome.body, type=ProbeAnswer), trial.id, challenge)
        except (TrustError, msgspec.DecodeError, UnicodeDecodeError) as cause:
            return replace(judged, said=Said.UNREACHED, detail=f"its answer is not trusted: {cause}", status=0)
        return replace(judged, server_seq=await self._seq(record, route))

    async def _named(self, record: Record, route: Route, outcome: Outcome) -> Outcome:
        """A server that has Windows mode closed for everybody only says so where nobody is to be known."""
        said = outcome.kind if isinstance(outcome, Refused) else ""
        if record.mode is not Mode.WINDOWS or said != RefusalClass.UNAUTHENTICATED:
            return outcome
        asked = await self._link.send(route, Request("GET", requests.PROBE, {}), evidence.chain_of(record))
        return asked if isinstance(asked, Refused) and asked.kind == RefusalClass.MODE_CLOSED else outcome

    async def _with_token(self, record: Record, route: Route) -> tuple[Record, Outcome | None]:
        """Fetch a token for this question where the mode takes one; the agent keeps its own."""
        if record.mode is not Mode.OAUTH:
            return record, None
        record, outcome = await self._settled(
            record, route, lambda record: requests.token_request(record, self._signing(route))
        )
        if not isinstance(outcome, Answered):
            return record, outcome
        try:
            return replace(record, token=msgspec.json.decode(outcome.body, type=absorb.Token).access_token), None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return record, Unreached("the answer is not what the protocol says")

    async def _seq(self, record: Record, route: Route) -> int:
        """Ask for the number of this identity's last check-in; a mode without tokens has no such question."""
        if record.mode is not Mode.OAUTH:
            return -1
        _, outcome = await self._settled(
            record, route, lambda record: requests.self_request(record, self._signing(route))
        )
        try:
            return msgspec.json.decode(outcome.body, type=SelfRecord).seq if isinstance(outcome, Answered) else -1
        except (msgspec.DecodeError, UnicodeDecodeError):
            return -1

    async def _settled(self, record: Record, route: Route, make: Callable[[Record], Request]) -> tuple[Record, Outcome]:
        """Send until the answer is about more than a nonce."""
        outcome: Outcome = Unreached("it was not asked")
        for _ in range(_MAX_SIGNED):
            outcome = await self._link.send(route, make(record), evidence.chain_of(record))
            if isinstance(outcome, Unreached):
                break
            record = decide.hear(record, outcome.heard, self._clock.now())
            if not (isinstance(outcome, Refused) and outcome.kind in _SIGN_AGAIN and outcome.heard.nonce):
                break
        return record, outcome

    def _signing(self, route: Route) -> Signing:
        return Signing(route.audience, self._clock.now(), self._new_id)

    def _told(self, route: Route, outcome: Outcome) -> Probed:
        if isinstance(outcome, Answered):
            return Probed(Said.ACCEPTED, route.url, status=self._status)
        if isinstance(outcome, Unreached):
            return Probed(Said.UNREACHED, route.url, detail=outcome.why, status=outcome.status)
        return Probed(Said.REFUSED, route.url, outcome.kind, outcome.detail, outcome.repair, self._status)


def _trial(record: Record, command: str) -> HeldChange:
    """The access in use, in the shape in which a new one is probed."""
    account = record.account if record.mode is Mode.WINDOWS else None
    return HeldChange(command, 0, record.epoch, mode=record.mode, account=account, token=record.token)
