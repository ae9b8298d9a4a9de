"""Windows Authentication: Negotiate with Kerberos or NTLM (RFC 4559), NTLM, Basic (RFC 7617).

Every request is authenticated; the connection is never the login, since a proxy may put other people's
requests on it. Only the legs of one NTLM exchange share a connection. The directory is only asked about
client authentication accounts, so nobody can try or lock other people's accounts here.
"""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from keyfast.core.directory import Directory, Logon, account_key
from keyfast.core.logon import refused
from keyfast.core.mode import SCHEMES, Mechanism
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError
from keyfast.services.authenticate import SignedRequest
from keyfast.services.basic_cache import BasicCache
from keyfast.services.known_account import KnownAccount
from keyfast.services.live import LiveState
from keyfast.services.logon_turns import LogonTurns
from keyfast.services.stranger_gate import StrangerGate
from keyfast.trust import basic, negotiate, ntlm_message
from keyfast.trust.kerberos import Acceptor, Refused
from keyfast.trust.negotiate import TokenKind
from keyfast.trust.ntlm import Denied, Exchange, Malformed, NtlmHelpers

MAX_EXCHANGES = 4096
BASIC_CHALLENGE = 'Basic realm="keyfast", charset="UTF-8"'
_NTLM_KINDS = {TokenKind.NTLM: False, TokenKind.SPNEGO_NTLM: True, TokenKind.SPNEGO_MORE: True}


@dataclass(frozen=True, slots=True)
class Doors:
    """What this server authenticates Windows logons with; None where a mechanism is not configured.

    Attributes:
        kerberos: accepts tickets by the keytab.
        ntlm: asks winbind.
        directory: verifies Basic.
        binding: this server's channel binding (RFC 5929 tls-server-end-point), None where TLS ends before it.
        binding_required: refuse logons that are not bound to the channel.
        realm: Kerberos realm of the directory's domain, empty if there is none.
        domain: short name of the same domain.
    """

    kerberos: Acceptor | None
    ntlm: NtlmHelpers | None
    directory: Directory
    binding: bytes | None
    binding_required: bool
    realm: str
    domain: str
    basic: bool = True

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What is configured, strongest first."""
        here = ((Mechanism.KERBEROS, self.kerberos), (Mechanism.NTLM, self.ntlm), (Mechanism.BASIC, self.basic))
        return tuple(mechanism for mechanism, door in here if door)

    def key_of(self, domain: str, name: str) -> str:
        """Return the key of the account that a client calls ``name`` of ``domain``."""
        named = domain.upper()
        return account_key(self.domain if named in ("", self.realm.upper()) else named, name)


class LoggedOn(msgspec.Struct, frozen=True):
    """A logon that holds.

    Attributes:
        account: key of the client authentication account.
        mechanism: how.
        answer: ``WWW-Authenticate`` line that completes the exchange, may be empty.
    """

    account: str
    mechanism: Mechanism
    answer: str = ""


class Challenge(msgspec.Struct, frozen=True):
    """The exchange goes on: answer 401 with these ``WWW-Authenticate`` lines."""

    lines: tuple[str, ...]


class Observer(Protocol):
    """Who must hear of refused logons."""

    def logon_refused(self, account: str, mechanism: Mechanism, why: Logon, address: str) -> None:
        """The directory refused a client authentication account: read it now."""
        ...

    def account_not_allowed(self, account: str, mechanism: Mechanism, address: str) -> None:
        """Somebody who is not a client authentication account tried."""
        ...


Answer = LoggedOn | Challenge | Refusal


def offer_lines(mechanisms: tuple[Mechanism, ...]) -> tuple[str, ...]:
    """One ``WWW-Authenticate`` line for each mechanism."""
    return tuple(BASIC_CHALLENGE if found is Mechanism.BASIC else SCHEMES[found] for found in mechanisms)


class WindowsLogon:
    """Authenticates requests. One per check-in process.

    Args:
        live: which accounts may log on.
        doors: what is configured.
        cache: for Basic.
        observer: hears of refusals.
        clock: unix seconds.
    """

    def __init__(
        self, live: LiveState, doors: Doors, cache: BasicCache, observer: Observer, clock: Callable[[], float]
    ) -> None:
        self._live = live
        self.doors = doors
        self._cache = cache
        self._observer = observer
        self._clock = clock
        self._gate = StrangerGate(clock)
        self._turns = LogonTurns()
        self._exchanges: dict[str, Exchange] = {}

    async def log_on(self, request: SignedRequest) -> Answer:
        """Judge the ``Authorization`` header of a request, which must not be empty.

        Raises:
            NotReadyError: the directory, winbind or the server's own key cannot be used now.
        """
        scheme, _, value = request.authorization.partition(" ")
        match scheme.lower():
            case "basic" if self.doors.basic:
                return await self._basic(request)
            case "negotiate" | "ntlm":
                token = negotiate.decode(value)
                if token is not None:
                    return await self._token(request, scheme.lower(), token)
        return Refusal(RefusalClass.UNAUTHENTICATED, "the Authorization header is not one this server understands")

    def told_by_kdc(self, request: SignedRequest, account: str) -> Refusal:
        """Take it from an endpoint that a KDC has refused the account's password: there is nobody else to tell."""
        return self._denied(account, Mechanism.KERBEROS, Logon.WRONG_PASSWORD, request)

    async def _token(self, request: SignedRequest, scheme: str, token: bytes) -> Answer:
        kind = negotiate.classify(token)
        if kind is TokenKind.KERBEROS and self.doors.kerberos is not None and scheme == "negotiate":
            return self._kerberos(request, self.doors.kerberos, token)
        if kind in _NTLM_KINDS and self.doors.ntlm is not None:
            return await self._ntlm(request, scheme, token, self.doors.ntlm, spnego=_NTLM_KINDS[kind])
        return Refusal(
            RefusalClass.UNAUTHENTICATED,
            "this server does not take that kind of logon",
            presented=f"a token of kind {kind.value}",
            expected=" or ".join(offer_lines(self.doors.mechanisms)),
        )

    def _kerberos(self, request: SignedRequest, acceptor: Acceptor, token: bytes) -> Answer:
        found = acceptor.accept(token, self.doors.binding)
        if isinstance(found, Refused):  # it says nothing about the account
            return Refusal(RefusalClass.UNAUTHENTICATED, found.sentence, presented="a Kerberos ticket")
        name, _, realm = found.principal.rpartition("@")
        if self.doors.binding_required and not found.bound:
            return _unbound(Mechanism.KERBEROS)
        line = f"Negotiate {base64.b64encode(found.answer).decode()}" if found.answer else ""
        return self._still_good(self._allowed(request, realm, name, Mechanism.KERBEROS, line))

    def _still_good(self, answer: Answer) -> Answer:
        """A ticket outlives its account by hours, a remembered password by minutes; what was read of it does not."""
        if not isinstance(answer, LoggedOn):
            return answer
        now = int(self._clock())
        account = self._live.current.accounts[answer.account]
        why = account.unusable(now)
        return answer if why is None else refused(account.standing(account.newest, now), why)

    async def _ntlm(
        self, request: SignedRequest, scheme: str, token: bytes, helpers: NtlmHelpers, *, spnego: bool
    ) -> Answer:
        message = negotiate.ntlm_message(token) if spnego else token
        if message is not None and ntlm_message.is_negotiate(message):
            return await self._first_leg(request, scheme, token, helpers, spnego=spnego)
        exchange = self._exchanges.pop(request.connection, None)
        if exchange is None or message is None:
            if exchange is not None:
                exchange.drop()
            return _broken()
        return await self._last_leg(request, scheme, exchange, token, message)

    async def _first_leg(
        self, request: SignedRequest, scheme: str, token: bytes, helpers: NtlmHelpers, *, spnego: bool
    ) -> Answer:
        exchange = await helpers.begin(token, spnego=spnego)
        if isinstance(exchange, Malformed):
            return Refusal(RefusalClass.UNAUTHENTICATED, exchange.sentence)
        self._keep(request.connection, exchange)
        prefix = "Negotiate" if scheme == "negotiate" else "NTLM"
        return Challenge((f"{prefix} {base64.b64encode(exchange.challenge).decode()}",))

    def _keep(self, connection: str, exchange: Exchange) -> None:
        earlier = self._exchanges.pop(connection, None)
        if earlier is not None:
            earlier.drop()
        self._exchanges[connection] = exchange
        while len(self._exchanges) > MAX_EXCHANGES:  # oldest first: begun and never finished
            self._exchanges.pop(next(iter(self._exchanges))).drop()

    async def _last_leg(
        self, request: SignedRequest, scheme: str, exchange: Exchange, token: bytes, message: bytes
    ) -> Answer:
        try:
            domain, name = ntlm_message.names_of(message)
            bound = ntlm_message.channel_binding_of(message)
        except ValueError:
            exchange.drop()
            return Refusal(RefusalClass.UNAUTHENTICATED, "this is not the last message of an NTLM logon")
        key = self._key(domain, name)
        account = self._listed(key)
        if account is None:
            exchange.drop()
            return self._not_allowed(key, Mechanism.NTLM, request)
        if (bound is None and self.doors.binding_required) or not self._binds(bound):
            exchange.drop()
            return _unbound(Mechanism.NTLM)
        try:
            return await self._guarded(
                request, account, Mechanism.NTLM, lambda: self._finish(request, scheme, exchange, token, key)
            )
        finally:
            exchange.drop()

    async def _finish(self, request: SignedRequest, scheme: str, exchange: Exchange, token: bytes, key: str) -> Answer:
        found = await exchange.finish(token)
        if isinstance(found, Malformed):
            return Refusal(RefusalClass.UNAUTHENTICATED, found.sentence)
        if isinstance(found, Denied):
            return self._denied(key, Mechanism.NTLM, found.reason, request)
        line = f"Negotiate {base64.b64encode(found.answer).decode()}" if found.answer and scheme == "negotiate" else ""
        return self._allowed(request, found.domain, found.name, Mechanism.NTLM, line)

    def _binds(self, bound: bytes | None) -> bool:
        if bound is None or self.doors.binding is None:
            return True
        return bound == ntlm_message.expected_md5(self.doors.binding)

    async def _basic(self, request: SignedRequest) -> Answer:
        told = basic.read(request.authorization)
        if told is None:
            return Refusal(RefusalClass.UNAUTHENTICATED, "the Basic credentials cannot be read")
        key = self._key(told.domain, told.name)
        account = self._listed(key)
        if account is None:
            return self._not_allowed(key, Mechanism.BASIC, request)
        return await self._guarded(
            request, account, Mechanism.BASIC, lambda: self._tried(request, account, told.password)
        )

    async def _tried(self, request: SignedRequest, account: KnownAccount, password: Secret) -> Answer:
        key = account.key
        logon, asked = await self._verify(account, password)
        if logon is Logon.GRANTED:
            granted = LoggedOn(key, Mechanism.BASIC)
            return granted if asked else self._still_good(granted)
        return self._denied(key, Mechanism.BASIC, logon, request, tell=asked)

    async def _guarded(
        self,
        request: SignedRequest,
        account: KnownAccount,
        mechanism: Mechanism,
        ask: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """Ask the directory, only where that cannot lock the account."""
        if request.proven and mechanism is Mechanism.BASIC:
            return await ask()  # about one password it is asked once, in turn, however many present it
        why = None if request.proven else account.unusable(int(self._clock()))
        if why is not None:
            return self._denied(account.key, mechanism, why, request, tell=False)
        guard = self._turns if request.proven else self._gate
        refusal = await guard.enter(account)
        if refusal is not None:
            return refusal
        refused_now = False
        try:
            answer = await ask()
            refused_now = isinstance(answer, Refusal) and answer.kind is RefusalClass.ACCOUNT_REFUSED
        finally:
            guard.leave(account, refused=refused_now)
        return answer

    async def _verify(self, account: KnownAccount, password: Secret) -> tuple[Logon, bool]:
        return await self._cache.ask(
            account.key, password, account.password_stamps, lambda: self._asked(account, password)
        )

    async def _asked(self, account: KnownAccount, password: Secret) -> Logon:
        refusal = await self._turns.enter(account)
        if refusal is not None:
            raise NotReadyError(refusal.detail, retry_after=refusal.retry_after)
        logon = None
        try:
            logon = await self.doors.directory.verify(account.key.partition("\\")[2], password)
        finally:
            self._turns.leave(account, refused=logon is Logon.WRONG_PASSWORD)
        return logon

    def _listed(self, key: str) -> KnownAccount | None:
        """The client authentication account of that key; one that was retired as a whole is none any more."""
        account = self._live.current.accounts.get(key)
        return None if account is None or account.retired else account

    def _key(self, domain: str, name: str) -> str:
        if not domain and "@" in name:
            name, _, domain = name.rpartition("@")
        return self.doors.key_of(domain, name)

    def _allowed(self, request: SignedRequest, domain: str, name: str, mechanism: Mechanism, line: str) -> Answer:
        key = self._key(domain, name)
        if self._listed(key) is None:
            return self._not_allowed(key, mechanism, request)
        return LoggedOn(key, mechanism, line)

    def _not_allowed(self, key: str, mechanism: Mechanism, request: SignedRequest) -> Refusal:
        self._observer.account_not_allowed(key, mechanism, request.address)
        return Refusal(
            RefusalClass.ACCOUNT_NOT_ALLOWED,
            presented=f"the account {key} by {mechanism.value}",
            expected="a client authentication account",
            repair=f"keyfast account add {key}",
        )

    def _denied(
        self, key: str, mechanism: Mechanism, why: Logon, request: SignedRequest, *, tell: bool = True
    ) -> Refusal:
        if tell:
            self._observer.logon_refused(key, mechanism, why, request.address)
        return Refusal(
            RefusalClass.ACCOUNT_REFUSED,
            presented=f"the account {key} by {mechanism.value}",
            expected="its current password, and an account that works",
            repair=f"keyfast account check {key}",
        )


def _unbound(mechanism: Mechanism) -> Refusal:
    return Refusal(
        RefusalClass.UNAUTHENTICATED,
        "the logon is not bound to this TLS connection; something in between may end it",
        presented=f"a logon by {mechanism.value} without this server's channel binding",
        expected="extended protection (RFC 5929 tls-server-end-point)",
    )


def _broken() -> Refusal:
    return Refusal(
        RefusalClass.CONNECTION_BROKEN,
        "the second message of an NTLM logon came on a connection that carried no first one; "
        "a proxy in between spreads requests over connections",
        expected="all messages of the logon on one connection",
        repair="take the proxy out of the way, or use Kerberos, Basic or OAuth",
    )
