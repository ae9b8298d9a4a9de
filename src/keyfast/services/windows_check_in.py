"""Check-in in Windows mode: the shared account is how the request travels, the device key is who sends it.

The device key's proof comes first: it costs the directory nothing, and it tells which package, and so
which credential generation, the endpoint holds. A generation that is known to be stale is refused before
any password is tried.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from msgspec.structs import replace

from keyfast.core.logon import offer
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.authenticate import SignedRequest, fresh_nonce, mode_refusal, unknown_or_superseded
from keyfast.services.check_in import CheckInService, Letter, Reply, Sender, Shown, heard_in, read_letter
from keyfast.services.enrol import EnrolService, asked_to_join
from keyfast.services.enrolment_refusals import EnrolmentRefusals, Knock
from keyfast.services.enrolment_tokens import enrolment_token
from keyfast.services.known_account import KnownAccount
from keyfast.services.live import Live, LiveState
from keyfast.services.went_back import WentBack
from keyfast.services.windows_logon import Challenge, LoggedOn, WindowsLogon, offer_lines
from keyfast.store import packages
from keyfast.store.database import Database
from keyfast.store.identities import Identities
from keyfast.trust import dpop
from keyfast.trust.dpop import Proof
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.nonce import NonceFacts
from keyfast.wire import limits
from keyfast.wire.messages import Registered

DOUBT_SECONDS = 60
"""Longest time for which a refused password keeps the others of its generation waiting for the watch."""
RETRY_SECONDS = 30
LOG_ON = Refusal(RefusalClass.UNAUTHENTICATED, "log on with the client authentication account")
_NO_TOKEN = Refusal(RefusalClass.UNAUTHENTICATED, "no access token", expected="Authorization: DPoP <access token>")


class Knocker(msgspec.Struct, frozen=True):
    """Who proved a device key.

    Attributes:
        proof, nonce: verified.
        named: account that it says it logs on with, empty for an agent that does not say.
        generation: credential generation of that account.
        endpoint_id: empty for one that is not on record.
        account_key: account to judge it by: the one it names, or else the one on record.
        held: what is on record, None where it is not on record or asks to join.
        token: its enrolment token, where it asks to join.
    """

    proof: Proof
    nonce: NonceFacts
    named: str
    generation: int
    endpoint_id: str = ""
    account_key: str = ""
    held: Shown | None = None
    token: EnrolmentToken | None = None

    def shown(self, found: LoggedOn) -> Shown:
        """What it authenticated with."""
        return Shown(Mode.WINDOWS, found.account, self.generation)


class Entered(msgspec.Struct, frozen=True):
    """A probe whose device key and logon hold."""

    endpoint_id: str
    shown: Shown
    lines: tuple[str, ...]


class WindowsCheckInService:
    """Takes check-ins that present no access token."""

    def __init__(
        self,
        live: LiveState,
        logon: WindowsLogon,
        check_ins: CheckInService,
        enrolments: EnrolService,
        refusals: EnrolmentRefusals,
        database: Database,
        identities: Identities,
        ahead: WentBack,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._logon = logon
        self._check_ins = check_ins
        self._enrolments = enrolments
        self._refusals = refusals
        self._database = database
        self._identities = identities
        self._ahead = ahead
        self._clock = clock
        self._doubts: dict[tuple[str, int], int] = {}
        self._tried: dict[tuple[str, int], tuple[int, tuple[int, ...]]] = {}

    async def check_in(self, request: SignedRequest, body: bytes) -> Reply:
        """Take one leg of a check-in.

        Raises:
            NotReadyError: store, directory or winbind cannot serve now; nothing was written.
        """
        live, now = self._live.current, int(self._clock())
        if not live.modes.anywhere(Mode.WINDOWS):
            return self._refused(live, _NO_TOKEN, now)
        letter = _read(live, request, body)
        if isinstance(letter, Refusal):
            return self._refused(live, letter, now)
        return await self._judge(live, request, *letter, now)

    async def _judge(self, live: Live, request: SignedRequest, letter: Letter, proof: Proof, now: int) -> Reply:
        message = letter.message
        join = message.join.statement if message.join else None
        knocker = await self._knocker(live, proof, message.account, message.credential_generation, now, join)
        if isinstance(knocker, Refusal):
            return self._told(letter, request, self._refused(live, knocker, now))
        if knocker.endpoint_id and await self._ahead.hear(knocker.endpoint_id, heard_in(message)):
            live = self._live.current
        found = await self._log_on(live, request, knocker, now)
        if isinstance(found, Reply):
            return self._told(letter, request, found, knocker.account_key)
        sender = await self._sender(letter, knocker, found, now)
        if isinstance(sender, Refusal):
            return self._told(letter, request, self._refused(live, sender, now))
        reply = await self._check_ins.record(live, sender, letter, request, now)
        return replace(reply, challenges=(found.answer,) if found.answer else ())

    def _told(self, letter: Letter, request: SignedRequest, reply: Reply, account: str = "") -> Reply:
        """Tell of a refusal to let somebody join; everything else passes."""
        message, refusal = letter.message, reply.outcome
        if message.join is not None and isinstance(refusal, Refusal) and refusal != LOG_ON:
            name = message.inventory.hostname if message.inventory else ""
            held = (account, message.credential_generation)
            self._refusals.tell(refusal, Knock(message.join.statement, name, request.address, *held))
        return reply

    async def enter(self, request: SignedRequest, body: bytes, account: str, generation: int) -> Entered | Reply:
        """Authenticate one leg of an endpoint's probe as if it were a check-in.

        Raises:
            NotReadyError: store, directory or winbind cannot serve now.
        """
        live, now = self._live.current, int(self._clock())
        if not live.modes.anywhere(Mode.WINDOWS):
            return self._refused(live, _NO_TOKEN, now)
        proof = _proof(live, request, body)
        if isinstance(proof, Refusal):
            return self._refused(live, proof, now)
        knocker = await self._knocker(live, proof, account, generation, now)
        if isinstance(knocker, Refusal):
            return self._refused(live, knocker, now)
        found = await self._log_on(live, request, knocker, now)
        if isinstance(found, Reply):
            return found
        return Entered(knocker.endpoint_id, knocker.shown(found), (found.answer,) if found.answer else ())

    async def probe(self, request: SignedRequest) -> LoggedOn | Challenge | Refusal:
        """Authenticate the account alone.

        Raises:
            NotReadyError: directory or winbind cannot serve now.
        """
        live = self._live.current
        if not live.modes.anywhere(Mode.WINDOWS):
            return mode_refusal(live, "", Mode.WINDOWS) or Refusal(RefusalClass.MODE_CLOSED)
        if not request.authorization:
            return Challenge(offer_lines(self._logon.doors.mechanisms))
        return await self._logon.log_on(request)

    async def _knocker(
        self, live: Live, proof: Proof, named: str, generation: int, now: int, join: str | None = None
    ) -> Knocker | Refusal:
        """Find who proved a device key: an endpoint, or one that asks to join by its package."""
        known = await self._identities.find(proof.thumbprint)
        endpoint_id = known.endpoint_id if known else ""
        nonce = fresh_nonce(live, proof, now, limits.NONCE_LIFETIME, endpoint_id)
        if isinstance(nonce, Refusal):
            return nonce
        knocker = Knocker(proof, nonce, named, generation, endpoint_id)
        if join is not None:
            return await self._joining(live, knocker, join)
        refusal = unknown_or_superseded(known)
        if refusal is not None or known is None:
            return refusal or Refusal(RefusalClass.UNKNOWN_DEVICE)
        held = Shown(known.mode, known.account_key, known.generation)
        account = named if named in live.accounts else known.account_key
        return mode_refusal(live, known.ring, Mode.WINDOWS) or replace(knocker, account_key=account, held=held)

    async def _joining(self, live: Live, knocker: Knocker, statement: str) -> Knocker | Refusal:
        token = enrolment_token(live, statement, Mode.WINDOWS)
        if isinstance(token, Refusal):
            return token
        async with self._database.read() as conn:
            package = await packages.get(conn, token.package)
        account = knocker.named if knocker.named in live.accounts else package.account_key if package else ""
        return replace(knocker, account_key=account, token=token)

    async def _log_on(self, live: Live, request: SignedRequest, knocker: Knocker, now: int) -> LoggedOn | Reply:
        """Offer what can succeed, and judge the logon; it must be that of the account that was named."""
        offered = self._offered(live, knocker, now)
        if isinstance(offered, Refusal):
            return self._refused(live, offered, now)
        if not request.authorization:
            return self._told_by_kdc(live, request, knocker, offered, now) or self._challenge(
                live, offer_lines(offered), now
            )
        found = await self._logon.log_on(replace(request, proven=True))
        if isinstance(found, Challenge):
            return self._challenge(live, found.lines, now)
        if isinstance(found, Refusal):
            self._doubt(live, knocker, found, now)
            return self._refused(live, found, now)
        if knocker.named and found.account != knocker.named:
            return self._refused(live, _another(found.account, knocker.named), now)
        return found

    def _offered(self, live: Live, knocker: Knocker, now: int) -> tuple[Mechanism, ...] | Refusal:
        configured = self._logon.doors.mechanisms
        account = live.accounts.get(knocker.account_key)
        if account is None:
            return configured  # nothing is known of what it holds; whoever logs on is judged by the account
        generation = knocker.generation
        standing = account.standing(generation, now)
        if self._refused_since(account, generation):
            # A directory grants the last password for an hour, not those before: where it was changed twice
            # within the hour, what it has refused since is in no grace.
            standing = replace(standing, grace_ends_at=0)
        offered = offer(standing, configured, now)
        if isinstance(offered, Refusal) or not self._doubted(account, generation, now):
            return offered
        detail = "the directory has just refused this password, and the account is being read"
        return Refusal(RefusalClass.NOT_READY, detail, retry_after=RETRY_SECONDS)

    def _told_by_kdc(
        self, live: Live, request: SignedRequest, knocker: Knocker, offered: Sequence[Mechanism], now: int
    ) -> Reply | None:
        """Take it from an endpoint that a KDC refused its password: nobody else tells, and others would show it too."""
        account = live.accounts.get(knocker.account_key)
        if not request.kdc_refused or account is None or Mechanism.KERBEROS not in offered:
            return None
        if knocker.generation not in account.generations:
            return None
        refusal = self._logon.told_by_kdc(request, knocker.account_key)
        self._doubts[_held(account, knocker.generation)] = now
        return self._refused(live, refusal, now)

    def _doubt(self, live: Live, knocker: Knocker, refusal: Refusal, now: int) -> None:
        """Have the watch look before the next endpoint with the same password tries it: each try counts."""
        account = live.accounts.get(knocker.account_key)
        if refusal.kind is RefusalClass.ACCOUNT_REFUSED and account is not None:
            held = _held(account, knocker.generation)
            self._doubts[held] = now
            self._tried[held] = now, account.password_stamps

    def _refused_since(self, account: KnownAccount, generation: int) -> bool:
        """Whether a password was refused since the account's was set last, by the clocks or by what was read then."""
        tried = self._tried.get(_held(account, generation))
        return tried is not None and (tried[0] >= account.password_set_at or tried[1] == account.password_stamps)

    def _doubted(self, account: KnownAccount, generation: int, now: int) -> bool:
        held = _held(account, generation)
        since = self._doubts.get(held)
        if since is None:
            return False
        read_since = all(reading.read_at > since for reading in account.readings)
        harmless = all(reading.lockout_threshold == 0 for reading in account.readings)
        if read_since or harmless or now > since + DOUBT_SECONDS:
            del self._doubts[held]
            return False
        return True

    async def _sender(self, letter: Letter, knocker: Knocker, found: LoggedOn, now: int) -> Sender | Refusal:
        sender = Sender(
            knocker.endpoint_id,
            Mode.WINDOWS,
            now,
            knocker.nonce.grant,
            thumbprint=knocker.proof.thumbprint,
            shown=knocker.shown(found),
        )
        if knocker.token is None:
            return replace(sender, held=knocker.held)
        registered = await self._join(letter, knocker.token, knocker.proof, now)
        if isinstance(registered, Refusal):
            return registered
        return replace(sender, endpoint_id=registered.client_id, registered=registered)

    async def _join(self, letter: Letter, token: EnrolmentToken, proof: Proof, now: int) -> Registered | Refusal:
        join, inventory = letter.message.join, letter.message.inventory
        if join is None or inventory is None:
            return Refusal(RefusalClass.MALFORMED, "whoever joins encloses the inventory")
        asked = asked_to_join(join, inventory.hostname, proof)
        if isinstance(asked, Refusal):
            return asked
        return await self._enrolments.join(asked, token, now)

    def offers(self, refusal: Refusal) -> tuple[str, ...]:
        """The ``WWW-Authenticate`` lines that belong to a refusal (RFC 9110 section 15.5.2)."""
        if refusal.rule.status != HTTPStatus.UNAUTHORIZED or not self._live.current.modes.anywhere(Mode.WINDOWS):
            return ()
        return offer_lines(self._logon.doors.mechanisms)

    def _refused(self, live: Live, refusal: Refusal, now: int) -> Reply:
        return Reply(refusal, live.nonces.issue(now), self.offers(refusal))

    def _challenge(self, live: Live, lines: tuple[str, ...], now: int) -> Reply:
        return Reply(LOG_ON, live.nonces.issue(now), lines)


def _held(account: KnownAccount, generation: int) -> tuple[str, int]:
    """What endpoints hold alike; of those above the newest nothing is known, and however many are named are one."""
    return account.key, min(generation, account.newest + 1)


def _proof(live: Live, request: SignedRequest, body: bytes) -> Proof | Refusal:
    return dpop.verify_proof(request.proof, method=request.method, path=request.path, origins=live.origins, body=body)


def _read(live: Live, request: SignedRequest, body: bytes) -> tuple[Letter, Proof] | Refusal:
    proof = _proof(live, request, body)
    if isinstance(proof, Refusal):
        return proof
    letter = read_letter(body)
    return letter if isinstance(letter, Refusal) else (letter, proof)


def _another(found: str, named: str) -> Refusal:
    return Refusal(
        RefusalClass.ACCOUNT_NOT_ALLOWED,
        "the account that logged on is not the one the endpoint says it uses",
        presented=f"the account {found}",
        expected=f"the account {named}",
    )
