"""The legs of a Windows check-in: the same request again and again, until a mechanism carries it.

First without a logon: the server says what it offers this endpoint now, or that this password is known not
to work, and then none is tried. What worked is remembered by this process; that first leg is then saved.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import urlsplit

from keyfast.agent.clock import Clock
from keyfast.agent.logon import Account, Failed, Ntlm, Then, Tickets, basic
from keyfast.agent.outcome import Answered, Heard, Outcome, Refused, Unreached
from keyfast.core.mode import SCHEMES, Mechanism
from keyfast.core.refusal import RefusalClass
from keyfast.errors import TrustError
from keyfast.trust.channel_binding import server_end_point

_HIDING = (Mechanism.KERBEROS.value, Mechanism.NTLM.value)
_NO_VERDICT = frozenset({RefusalClass.CONNECTION_BROKEN.value, RefusalClass.UNAUTHENTICATED.value})
"""A Keyfast server that was shown a wrong password says ``account_refused``; these say that it saw none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one leg.

    Attributes:
        status: HTTP status.
        offers: every ``WWW-Authenticate`` field line.
        outcome: the answer as the protocol reads it.
        certificate: DER of the certificate of the server on this connection, if known.
    """

    status: int
    offers: tuple[str, ...]
    outcome: Outcome
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class Logon:
    """Who logs on where.

    Attributes:
        account: the client authentication account.
        url: of the route.
        mechanisms: those the access profile allows.
    """

    account: Account
    url: str
    mechanisms: tuple[str, ...]

    @property
    def host(self) -> str:
        """Name of the server, as its service principal has it."""
        return urlsplit(self.url).hostname or ""

    @property
    def identity(self) -> tuple[str, str, int]:
        """What a mechanism is remembered for: two accounts have a first generation each."""
        return self.url, self.account.user, self.account.generation

    @property
    def allowed(self) -> tuple[str, ...]:
        """Mechanisms that may be used; a profile that names none allows what hides the password."""
        return self.mechanisms or _HIDING


@dataclass(frozen=True, slots=True)
class _Passed:
    """A mechanism that led to no verdict on the account."""

    why: str
    outcome: Outcome | None = None


Send = Callable[[str], Awaitable[Reply]]
"""Sends one leg, with this ``Authorization`` or, if it is empty, with none."""


class Handshakes:
    """What a process knows of its logons. No password is presented that a leg before it made pointless.

    Args:
        clock: the endpoint's clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self.tickets = Tickets(clock)
        self._proven: tuple[tuple[str, str, int], Mechanism] | None = None
        self._bindings: dict[str, bytes | None] = {}

    async def run(self, send: Send, logon: Logon) -> Outcome:
        """Log on and have the request done, or tell what kept it from being done."""
        known, self._proven = self._known(logon), None
        if known is not None:
            result = await self._by(known, send, logon)
            if not isinstance(result, _Passed):
                return self._remembered(known, logon, result)
        reply = await self._sent(send, logon, "")
        if not _asks(reply) or not isinstance(reply.outcome, Refused):
            return reply.outcome
        passed: list[_Passed] = []
        for mechanism in _common(logon, reply.offers):
            result = await self._by(mechanism, send, logon)
            if not isinstance(result, _Passed):
                return self._remembered(mechanism, logon, result)
            passed.append(_Passed(f"{mechanism.value}: {result.why}", result.outcome))
        return _no_way(reply.outcome, passed)

    def _known(self, logon: Logon) -> Mechanism | None:
        of, mechanism = self._proven or (("", "", 0), Mechanism.KERBEROS)
        if of != logon.identity or mechanism not in logon.allowed:
            return None
        # Without a live ticket the password would go to a KDC that may no longer take it; the server knows.
        return None if mechanism is Mechanism.KERBEROS and not self.tickets.live(logon.account) else mechanism

    def _remembered(self, mechanism: Mechanism, logon: Logon, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Answered):
            return outcome
        self._proven = (logon.identity, mechanism)
        return replace(outcome, mechanism=mechanism.value)

    async def _sent(self, send: Send, logon: Logon, authorization: str) -> Reply:
        reply = await send(authorization)
        self._bindings[logon.url] = _binding_of(reply)
        return reply

    async def _by(self, mechanism: Mechanism, send: Send, logon: Logon) -> Outcome | _Passed:
        if mechanism is Mechanism.KERBEROS:
            return await self._kerberos(send, logon)
        if mechanism is Mechanism.NTLM:
            return await self._ntlm(send, logon)
        return _verdict(await self._sent(send, logon, f"{SCHEMES[mechanism]} {basic(logon.account)}"))

    async def _kerberos(self, send: Send, logon: Logon) -> Outcome | _Passed:
        token = await self.tickets.token(logon.account, logon.host, self._bindings.get(logon.url))
        if isinstance(token, Failed):
            failed = self._without_token(token)
            return replace(failed, by_kdc=True) if isinstance(failed, Refused) else failed
        reply = await self._sent(send, logon, _header(Mechanism.KERBEROS, token))
        if _asks(reply) or _kind(reply) == RefusalClass.ACCOUNT_REFUSED:
            # The ticket, not the password: no try was counted, and another mechanism may still be taken.
            self.tickets.drop()
            return _Passed("the server does not take the ticket", reply.outcome)
        return reply.outcome

    async def _ntlm(self, send: Send, logon: Logon) -> Outcome | _Passed:
        ntlm = Ntlm(logon.account, logon.host)
        first = ntlm.first()
        if isinstance(first, Failed):
            return self._without_token(first)
        reply = await self._sent(send, logon, _header(Mechanism.NTLM, first))
        challenge = _challenge(reply.offers)
        if challenge is None:
            return _Passed("the server gave no challenge", reply.outcome) if _asks(reply) else reply.outcome
        third = ntlm.answer(challenge, self._bindings.get(logon.url))
        if isinstance(third, Failed):
            return self._without_token(third)
        return _verdict(await self._sent(send, logon, _header(Mechanism.NTLM, third)))

    def _without_token(self, failed: Failed) -> Outcome | _Passed:
        if failed.then is Then.NEXT:
            self.tickets.drop()
            return _Passed(failed.why)
        if failed.then is Then.LATER:
            return Unreached(failed.why)
        return Refused(RefusalClass.ACCOUNT_REFUSED.value, Heard(), failed.why, tried=True)


def _common(logon: Logon, offers: tuple[str, ...]) -> list[Mechanism]:
    """Return what the server offers and the profile allows, strongest first."""
    schemes = {part.split()[0].casefold() for line in offers for part in line.split(",") if part.strip()}
    return [way for way, scheme in SCHEMES.items() if scheme.casefold() in schemes and way.value in logon.allowed]


def _challenge(offers: tuple[str, ...]) -> bytes | None:
    for line in offers:
        scheme, _, rest = line.strip().partition(" ")
        if scheme.casefold() == SCHEMES[Mechanism.NTLM].casefold() and rest:
            try:
                return b64decode(rest.strip(), validate=True)
            except binascii.Error:
                return None
    return None


def _asks(reply: Reply) -> bool:
    """Tell whether an answer asks for another logon and passes no verdict on one."""
    return reply.status == HTTPStatus.UNAUTHORIZED and _kind(reply) in ("", RefusalClass.UNAUTHENTICATED)


def _kind(reply: Reply) -> str:
    """Return the class of a refusal, empty where the answer names none."""
    return reply.outcome.kind if isinstance(reply.outcome, Refused) else ""


def _verdict(reply: Reply) -> Outcome | _Passed:
    """Judge the answer to a leg that presented the password."""
    outcome = reply.outcome
    if reply.status != HTTPStatus.UNAUTHORIZED:
        return outcome
    if isinstance(outcome, Refused):
        if outcome.kind in _NO_VERDICT:
            return _Passed(outcome.detail or outcome.kind, outcome)
        # A server that says when to come back knew the answer and has asked no domain controller.
        return replace(outcome, tried=outcome.kind == RefusalClass.ACCOUNT_REFUSED and not outcome.retry_after)
    # Something in between may have tried the password as well: as careful as with a server that says so.
    detail = "the logon was answered with status 401 and no reason"
    return Refused(RefusalClass.UNAUTHENTICATED.value, Heard(), detail, tried=True)


def _no_way(asked: Refused, passed: list[_Passed]) -> Outcome:
    told = [way.outcome for way in passed if isinstance(way.outcome, Refused)]
    if told and told[-1].kind != RefusalClass.UNAUTHENTICATED:
        return told[-1]
    why = "; ".join(way.why for way in passed) or "the server offers nothing that the access profile allows"
    return replace(asked, detail=f"no way to log on: {why}")


def _header(mechanism: Mechanism, token: bytes) -> str:
    return f"{SCHEMES[mechanism]} {b64encode(token).decode('ascii')}"


def _binding_of(reply: Reply) -> bytes | None:
    try:
        return server_end_point(reply.certificate) if reply.certificate else None
    except TrustError:
        return None
