"""The client half of a Windows logon, by pyspnego: SSPI on Windows, MIT Kerberos and NTLM in Python elsewhere.

Always with the account's own name and password, never with whoever runs the agent. What goes wrong is a
value: only a password that the domain itself calls wrong ends a logon; everything else leads on to the next
mechanism. The libraries are loaded at the first logon: an agent that needs none must not depend on them.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from keyfast.agent.beside import beside
from keyfast.agent.clock import Clock
from keyfast.agent.timing import Due
from keyfast.core.secret import Secret

if TYPE_CHECKING:
    import spnego
    from spnego.channel_bindings import GssChannelBindings

T = TypeVar("T")
SERVICE = "HTTP"
PATIENCE = 30.0
"""Seconds a domain controller may take; MIT Kerberos gives up on dead ones sooner by itself."""
TICKET_LIFE = 8 * 3600.0
"""Seconds for which a ticket is taken to be good (Active Directory: ten hours); one that is not is fetched anew."""

_WRONG_PASSWORD = frozenset(
    {
        -1765328360,  # KRB5KDC_ERR_PREAUTH_FAILED (RFC 4120 section 7.5.9, code 24)
        -1765328353,  # KRB5KRB_AP_ERR_BAD_INTEGRITY: the KDC's answer is not sealed with this password
        -2146893044,  # SEC_E_LOGON_DENIED (MS-ERREF 2.1)
        -1073741715,  # STATUS_LOGON_FAILURE (MS-ERREF 2.3)
    }
)

_SENTENCES = {
    -1765328378: "the domain does not know the account",
    -1765328377: "the domain knows no service of this server's name",
    -1765328366: "the domain's KDC says that the account is disabled, locked or expired",
    -1765328361: "the domain's KDC says that the password has expired",
    -1765328352: "the ticket has expired",
    -1765328347: "this endpoint's clock is too far from the KDC's",
    -1765328230: "no KDC is known for the account's domain",
    -1765328228: "no KDC of the domain answers",
    -1765328160: "this machine has no default realm",
    -2146893053: "the domain knows no service of this server's name",
    -2146893039: "no domain controller answers",
}
"""For people; RFC 4120 section 7.5.9 counted from -1765328384, the library's own, and MS-ERREF."""

# At its most talkative it writes down tokens.
logging.getLogger("spnego").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Account:
    """The client authentication account.

    Attributes:
        name: logon name without the domain.
        domain: short (NetBIOS) name of the domain.
        password: as the package brought it.
        generation: of the credential.
        realm: Kerberos realm of the domain, empty if the package named none.
    """

    name: str
    domain: str
    password: Secret
    generation: int
    realm: str = ""

    @property
    def user(self) -> str:
        r"""The down-level logon name, ``DOMAIN\name``."""
        return f"{self.domain}\\{self.name}" if self.domain else self.name


class Then(StrEnum):
    """What a logon that could not be made leads to."""

    NEXT = "next"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Failed:
    """No token, and why: one sentence without secrets."""

    why: str
    then: Then = Then.NEXT


class Tickets:
    """Kerberos with one account: asks for a ticket once per lifetime and keeps it in this process only.

    Args:
        clock: the endpoint's clocks.
        patience: seconds to wait for a domain controller.
    """

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._held: tuple[Account, spnego.ContextProxy, Due] | None = None
        self._busy = 0

    def live(self, account: Account) -> bool:
        """Tell whether a token can be made without presenting the password."""
        return self._context(account) is not None

    def drop(self) -> None:
        """Forget the ticket."""
        self._held = None

    async def token(self, account: Account, host: str, binding: bytes | None) -> bytes | Failed:
        """Make a token for ``HTTP/host``; blocks nobody, and no longer than the patience.

        Args:
            account: whose.
            host: name of the server.
            binding: application data of a channel binding (RFC 5929), if there is one.
        """
        if self._busy:
            # Its password may be on the way to a domain controller that is slow: not a second one beside it.
            return Failed("an earlier question to the domain's KDC is still open")
        context = self._context(account)
        if context is None:
            found = await self._asked(lambda: _context("kerberos", _principal(account), account, host))
            if isinstance(found, Failed):
                return found
            context = found
            self._held = (account, context, Due(self._clock.now(), TICKET_LIFE))
        ready = context
        return await self._asked(lambda: ready.new_context().step(channel_bindings=_bindings(binding)) or b"")

    def _context(self, account: Account) -> "spnego.ContextProxy | None":
        if self._held is None or self._held[0].user != account.user or self._held[0].generation != account.generation:
            return None
        return self._held[1] if self._held[2].remaining(self._clock.now()) > 0 else None

    async def _asked(self, work: Callable[[], T]) -> T | Failed:
        def counted() -> T:
            try:
                return work()
            finally:
                self._busy -= 1

        self._busy += 1
        try:
            return await asyncio.wait_for(beside(counted, "kerberos"), self._patience)
        except TimeoutError:
            return Failed("the domain's KDC did not answer in time", Then.LATER)
        except Exception as cause:  # noqa: BLE001 - four libraries behind this call; none of them may stop the agent
            return _failed(cause)


class Ntlm:
    """The three legs of one NTLM logon (MS-NLMP); computed here, nobody is asked.

    Args:
        account: whose.
        host: name of the server.
    """

    def __init__(self, account: Account, host: str) -> None:
        self._account = account
        self._host = host
        self._context_made: spnego.ContextProxy | None = None

    def first(self) -> bytes | Failed:
        """Return the first message."""
        try:
            self._context_made = _context("ntlm", self._account.user, self._account, self._host)
            return self._context_made.step() or b""
        except Exception as cause:  # noqa: BLE001 - as above
            return _failed(cause)

    def answer(self, challenge: bytes, binding: bytes | None) -> bytes | Failed:
        """Return the third message, for the challenge of the second, bound to the channel."""
        try:
            if self._context_made is None:
                return Failed("the first message comes first")
            return self._context_made.step(challenge, channel_bindings=_bindings(binding)) or b""
        except Exception as cause:  # noqa: BLE001 - the challenge is a stranger's
            return _failed(cause)


def basic(account: Account) -> str:
    """Return the credentials of Basic authentication (RFC 7617 section 2), in UTF-8."""
    return b64encode(account.user.encode() + b":" + account.password.reveal()).decode("ascii")


def _context(protocol: str, user: str, account: Account, host: str) -> "spnego.ContextProxy":
    import spnego  # noqa: PLC0415 - see the module

    return spnego.client(user, account.password.reveal().decode(), hostname=host, service=SERVICE, protocol=protocol)


def _bindings(application_data: bytes | None) -> "GssChannelBindings | None":
    from spnego.channel_bindings import GssChannelBindings  # noqa: PLC0415 - as above

    return GssChannelBindings(application_data=application_data) if application_data else None


def _principal(account: Account) -> str:
    r"""Return the name by which Kerberos is asked.

    MIT Kerberos wants a realm. Where the package names none, it is this machine's own if that begins with
    the short domain. Any other machine says ``name@CORP``, which leads to a KDC where ``krb5.conf`` names
    one for it, and nowhere else: a guess could count a wrong password against a stranger.
    """
    try:
        import krb5  # noqa: PLC0415 - part of the optional Kerberos
    except ImportError:
        return account.user  # SSPI
    if account.realm:
        return f"{account.name}@{account.realm.upper()}"
    if "." in account.domain:
        return f"{account.name}@{account.domain.upper()}"
    realm = krb5.get_default_realm(krb5.init_context()).decode()
    mine = realm.split(".")[0].casefold() == account.domain.casefold() or not account.domain
    return f"{account.name}@{realm if mine else account.domain.upper()}"


def _failed(cause: Exception) -> Failed:
    code = _code(cause)
    if code in _WRONG_PASSWORD:
        return Failed("the domain's KDC refused the password", Then.REFUSED)
    if isinstance(cause, ImportError):
        return Failed("Kerberos is not installed here: keyfast[kerberos]")
    # Not the library's own words: nobody vouches for what they quote.
    return Failed(_SENTENCES.get(code, f"{type(cause).__name__} {code}"))


def _code(cause: Exception) -> int:
    """Return the error number of krb5, GSSAPI (its minor one) or SSPI as 32 bits with a sign, 0 without one."""
    base = getattr(cause, "base_error", None) or cause
    for name in ("err_code", "min_code", "winerror"):
        number = getattr(base, name, None)
        if isinstance(number, int):
            return (number + 2**31) % 2**32 - 2**31
    return 0
