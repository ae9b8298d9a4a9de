"""Check-in in Windows mode: the shared account is how the request travels, the device key is who sends it.

The device key's proof comes first: it costs the directory nothing, and it tells which package, and so
which credential generation, the endpoint holds. A generation that is known to be stale is refused before
any password is tried.
"""

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from msgspec.structs import replace

from keyfast.core.logon import offer
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import TrustError
from keyfast.services.authenticate import SignedRequest, fresh_nonce, mode_refusal
from keyfast.services.check_in import CheckInService, Letter, Reply, Sender, read_letter
from keyfast.services.enrol import EnrolService, enrolment_token
from keyfast.services.known_account import KnownAccount
from keyfast.services.live import Live, LiveState
from keyfast.services.windows_logon import Challenge, LoggedOn, WindowsLogon, offer_lines
from keyfast.store import packages
from keyfast.store.database import Database
from keyfast.store.identities import Identities
from keyfast.trust import dpop
from keyfast.trust.device import parse_public_jwk
from keyfast.trust.dpop import Proof
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.nonce import NonceFacts
from keyfast.wire import limits
from keyfast.wire.messages import Registered
from keyfast.wire.oauth import Jwks, PublicKey, RegisterRequest

DOUBT_SECONDS = 60
"""Longest time for which a refused password keeps the others of its generation waiting for the watch."""
RETRY_SECONDS = 30
_NO_TOKEN = Refusal(RefusalClass.UNAUTHENTICATED, "no access token", expected="Authorization: DPoP <access token>")


class Knocker(msgspec.Struct, frozen=True):
    """Who proved a device key.

    Attributes:
        letter: its check-in.
        proof, nonce: verified.
        endpoint_id: empty for one that is not on record.
        account_key: account its package was built with.
        token: its enrolment token, where it asks to join.
    """

    letter: Letter
    proof: Proof
    nonce: NonceFacts
    endpoint_id: str
    account_key: str
    token: EnrolmentToken | None = None


class WindowsCheckInService:
    """Takes check-ins that present no access token."""

    def __init__(
        self,
        live: LiveState,
        logon: WindowsLogon,
        check_ins: CheckInService,
        enrolments: EnrolService,
        database: Database,
        identities: Identities,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._logon = logon
        self._check_ins = check_ins
        self._enrolments = enrolments
        self._database = database
        self._identities = identities
        self._clock = clock
        self._doubts: dict[tuple[str, int], int] = {}

    async def check_in(self, request: SignedRequest, body: bytes) -> Reply:
        """Take one leg of a check-in.

        Raises:
            NotReadyError: store, directory or winbind cannot serve now; nothing was written.
        """
        live, now = self._live.current, int(self._clock())
        if not live.modes.anywhere(Mode.WINDOWS):
            return self._refused(live, _NO_TOKEN, now)
        knocker = await self._knocker(live, request, body, now)
        if isinstance(knocker, Refusal):
            return self._refused(live, knocker, now)
        return await self._logged_on(live, request, knocker, now)

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

    async def _knocker(self, live: Live, request: SignedRequest, body: bytes, now: int) -> Knocker | Refusal:
        """Find who proved a device key: an endpoint, or one that asks to join by its package."""
        proof = dpop.verify_proof(
            request.proof, method=request.method, path=request.path, origins=live.origins, body=body
        )
        if isinstance(proof, Refusal):
            return proof
        letter = read_letter(body)
        if isinstance(letter, Refusal):
            return letter
        known = await self._identities.find(proof.thumbprint)
        endpoint_id = known.endpoint_id if known else ""
        nonce = fresh_nonce(live, proof, now, limits.NONCE_LIFETIME, endpoint_id)
        if isinstance(nonce, Refusal):
            return nonce
        if letter.message.join is not None:
            return await self._joining(live, letter, endpoint_id, proof, nonce)
        if known is None:
            return Refusal(RefusalClass.UNKNOWN_DEVICE, expected="a device key this server enrolled")
        knocker = Knocker(letter, proof, nonce, endpoint_id, known.account_key)
        return mode_refusal(live, known.ring, Mode.WINDOWS) or knocker

    async def _joining(
        self, live: Live, letter: Letter, endpoint_id: str, proof: Proof, nonce: NonceFacts
    ) -> Knocker | Refusal:
        token = enrolment_token(live, letter.message.join.statement if letter.message.join else "", Mode.WINDOWS)
        if isinstance(token, Refusal):
            return token
        async with self._database.read() as conn:
            package = await packages.get(conn, token.package)
        return Knocker(letter, proof, nonce, endpoint_id, package.account_key if package else "", token)

    async def _logged_on(self, live: Live, request: SignedRequest, knocker: Knocker, now: int) -> Reply:
        offered = self._offered(live, knocker, now)
        if isinstance(offered, Refusal):
            return self._refused(live, offered, now)
        if not request.authorization:
            return self._challenge(live, offer_lines(offered), now)
        found = await self._logon.log_on(replace(request, proven=True))
        if isinstance(found, Challenge):
            return self._challenge(live, found.lines, now)
        if isinstance(found, Refusal):
            self._doubt(knocker, found, now)
            return self._refused(live, found, now)
        sender = await self._sender(knocker, now)
        if isinstance(sender, Refusal):
            return self._refused(live, sender, now)
        reply = await self._check_ins.record(live, sender, knocker.letter, request, now)
        return replace(reply, challenges=(found.answer,) if found.answer else ())

    def _offered(self, live: Live, knocker: Knocker, now: int) -> tuple[Mechanism, ...] | Refusal:
        configured = self._logon.doors.mechanisms
        account = live.accounts.get(knocker.account_key)
        if account is None:
            return configured  # nothing is known of what it holds; whoever logs on is judged by the account
        generation = knocker.letter.message.credential_generation
        offered = offer(account.standing(generation, now), configured, now)
        if isinstance(offered, Refusal) or not self._doubted(account, generation, now):
            return offered
        detail = "the directory has just refused this password, and the account is being read"
        return Refusal(RefusalClass.NOT_READY, detail, retry_after=RETRY_SECONDS)

    def _doubt(self, knocker: Knocker, refusal: Refusal, now: int) -> None:
        """Have the watch look before the next endpoint with the same password tries it: each try counts."""
        if refusal.kind is RefusalClass.ACCOUNT_REFUSED and knocker.account_key in self._live.current.accounts:
            self._doubts[knocker.account_key, knocker.letter.message.credential_generation] = now

    def _doubted(self, account: KnownAccount, generation: int, now: int) -> bool:
        since = self._doubts.get((account.key, generation))
        if since is None:
            return False
        read_since = all(reading.read_at > since for reading in account.readings)
        harmless = all(reading.lockout_threshold == 0 for reading in account.readings)
        if read_since or harmless or now > since + DOUBT_SECONDS:
            del self._doubts[account.key, generation]
            return False
        return True

    async def _sender(self, knocker: Knocker, now: int) -> Sender | Refusal:
        if knocker.token is None:
            return Sender(knocker.endpoint_id, Mode.WINDOWS, now, knocker.nonce.grant)
        registered = await self._join(knocker.letter, knocker.token, knocker.proof, now)
        if isinstance(registered, Refusal):
            return registered
        return Sender(registered.client_id, Mode.WINDOWS, now, knocker.nonce.grant, registered)

    async def _join(self, letter: Letter, token: EnrolmentToken, proof: Proof, now: int) -> Registered | Refusal:
        join, inventory = letter.message.join, letter.message.inventory
        if join is None or inventory is None:
            return Refusal(RefusalClass.MALFORMED, "whoever joins encloses the inventory")
        try:
            seal = parse_public_jwk(join.seal_jwk)
        except TrustError as cause:
            return Refusal(RefusalClass.MALFORMED, cause.message)
        asked = RegisterRequest(
            software_statement=join.statement,
            client_name=inventory.hostname,
            jwks=Jwks((_key(proof.public_jwk, "sig"), _key(seal, "enc"))),
            keyfast_hardware=join.hardware,
        )
        return await self._enrolments.join(asked, token, now)

    def offers(self, refusal: Refusal) -> tuple[str, ...]:
        """The ``WWW-Authenticate`` lines that belong to a refusal (RFC 9110 section 15.5.2)."""
        if refusal.rule.status != HTTPStatus.UNAUTHORIZED or not self._live.current.modes.anywhere(Mode.WINDOWS):
            return ()
        return offer_lines(self._logon.doors.mechanisms)

    def _refused(self, live: Live, refusal: Refusal, now: int) -> Reply:
        return Reply(refusal, live.nonces.issue(now), self.offers(refusal))

    def _challenge(self, live: Live, lines: tuple[str, ...], now: int) -> Reply:
        refusal = Refusal(RefusalClass.UNAUTHENTICATED, "log on with the client authentication account")
        return Reply(refusal, live.nonces.issue(now), lines)


def _key(jwk: dict[str, str], use: str) -> PublicKey:
    return PublicKey(jwk["kty"], jwk["crv"], jwk["x"], jwk["y"], use)
