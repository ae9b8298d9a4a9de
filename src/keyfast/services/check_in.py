"""Check-in: verify, judge and record; answer only what is durably committed."""

from collections.abc import Callable

import msgspec

from keyfast.core import schedule
from keyfast.core.check_in import Accepted, Grant, Report
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.authenticate import SignedRequest, endpoint_caller, mode_refusal
from keyfast.services.live import Live, LiveState
from keyfast.store import commands
from keyfast.store.database import Database
from keyfast.store.identities import Identities
from keyfast.store.writer import CheckIn as CheckInRow
from keyfast.store.writer import GroupCommit
from keyfast.trust.encoding import sha256, unb64u
from keyfast.wire import limits, messages
from keyfast.wire.messages import Registered

MAX_COMMANDS = 16


class Reply(msgspec.Struct, frozen=True):
    """What to answer.

    Attributes:
        outcome: a body or a refusal.
        nonce: for the next proof.
        challenges: ``WWW-Authenticate`` lines of Windows Authentication.
    """

    outcome: bytes | Refusal
    nonce: str
    challenges: tuple[str, ...] = ()


class Sender(msgspec.Struct, frozen=True):
    """Who sent a check-in, however it was authenticated.

    Attributes:
        endpoint_id: the endpoint.
        mode: how it authenticated.
        token_issued_at: server time from which its authentication is; a later revocation voids it.
        grant: resync grant of its nonce.
        registered: answer to its joining, in the same exchange.
    """

    endpoint_id: str
    mode: Mode
    token_issued_at: int
    grant: Grant | None
    registered: Registered | None = None


class Letter(msgspec.Struct, frozen=True):
    """A check-in that can be read: the message, its body, and the canonical inventory if one is enclosed."""

    message: messages.CheckIn
    body: bytes
    inventory: bytes | None


class CheckInService:
    """The hot path. One per check-in process.

    Args:
        live: keys, policy and profile in force.
        writer: the group-commit writer.
        database: for the rare reads (pending commands).
        identities: for the rings of endpoints, where OAuth is not open for all.
        clock: server time in unix seconds.
        chance: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        live: LiveState,
        writer: GroupCommit,
        database: Database,
        identities: Identities,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._live = live
        self._writer = writer
        self._database = database
        self._identities = identities
        self._clock = clock
        self._chance = chance

    async def check_in(self, request: SignedRequest, body: bytes) -> Reply:
        """Take one check-in.

        Raises:
            NotReadyError: the store is down or its queue is full; nothing was written.
        """
        live, now = self._live.current, int(self._clock())
        caller = endpoint_caller(live, request, body, now, limits.NONCE_LIFETIME)
        if isinstance(caller, Refusal):
            return Reply(caller, live.nonces.issue(now))
        letter = read_letter(body)
        if isinstance(letter, Refusal):
            return Reply(letter, live.nonces.issue(now))
        if not live.oauth_everywhere:
            refusal = await self._closed(live, caller.token.thumbprint)
            if refusal is not None:
                return Reply(refusal, live.nonces.issue(now))
        token = caller.token
        sender = Sender(token.endpoint_id, Mode.OAUTH, token.issued_at, caller.nonce.grant)
        return await self.record(live, sender, letter, request, now)

    async def record(self, live: Live, sender: Sender, letter: Letter, request: SignedRequest, now: int) -> Reply:
        """Judge and record the check-in of an authenticated sender, and answer it.

        Raises:
            NotReadyError: the store is down or its queue is full; nothing was written.
        """
        wait = schedule.next_check_in(live.policy.check_in_interval_s, self._chance())
        verdict = await self._writer.submit(_row(sender, request, letter, now, now + wait))
        if isinstance(verdict, Refusal):
            return Reply(verdict, self._nonce_for(live, verdict, sender.endpoint_id, now))
        answer = await self._answer(live, verdict, letter.message, sender, wait, now)
        return Reply(messages.encode(answer), live.nonces.issue(now))

    async def _closed(self, live: Live, thumbprint: str) -> Refusal | None:
        """Refuse an endpoint whose ring is not to use OAuth (any more)."""
        identity = await self._identities.find(thumbprint)
        return mode_refusal(live, identity.ring, Mode.OAUTH) if identity else Refusal(RefusalClass.UNKNOWN_DEVICE)

    def _nonce_for(self, live: Live, refusal: Refusal, endpoint_id: str, now: int) -> str:
        """A replayed number is answered with a grant: only the key's holder can use it, once."""
        expected = refusal.extra.get("expected_seq")
        return live.nonces.grant(now, endpoint_id, int(expected)) if expected else live.nonces.issue(now)

    async def _answer(
        self, live: Live, accepted: Accepted, message: messages.CheckIn, sender: Sender, wait: int, now: int
    ) -> messages.CheckInAnswer:
        commands = await self._pending(sender.endpoint_id, now) if accepted.standing.commands else ()
        profile = live.profile(sender.mode)
        return messages.CheckInAnswer(
            server_time=now,
            next_check_in_s=wait,
            policy_version=live.policy.version,
            policy=live.policy if message.policy_version != live.policy.version else None,
            profile_seq=profile.seq,
            profile=profile.statement if message.profile_seq < profile.seq else "",
            send_inventory=accepted.send_inventory,
            commands=commands,
            epoch=live.installation.epoch,
            registered=sender.registered,
        )

    async def _pending(self, endpoint_id: str, now: int) -> tuple[str, ...]:
        async with self._database.write() as conn:
            return tuple(row.statement for row in await commands.offer(conn, endpoint_id, now=now, limit=MAX_COMMANDS))


def read_letter(body: bytes) -> Letter | Refusal:
    """Read the body of a check-in."""
    try:
        message = messages.decode_check_in(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        return Refusal(RefusalClass.MALFORMED, str(cause)[:200])
    inventory = None if message.inventory is None else messages.inventory_bytes(message.inventory)
    if inventory is not None and sha256(inventory) != unb64u(message.inventory_digest):
        return Refusal(RefusalClass.MALFORMED, "the inventory is not the one digested")
    return Letter(message, body, inventory)


def _row(sender: Sender, request: SignedRequest, letter: Letter, now: int, next_due: int) -> CheckInRow:
    message, inventory = letter.message, letter.inventory
    return CheckInRow(
        endpoint_id=sender.endpoint_id,
        report=Report(
            seq=message.seq,
            digest=sha256(letter.body),
            acked=unb64u(message.acked),
            inventory_digest=unb64u(message.inventory_digest),
            inventory_enclosed=inventory is not None,
            token_issued_at=sender.token_issued_at,
            grant=sender.grant,
        ),
        seen_at=now,
        next_due=next_due,
        verified_at=now - max(message.verified_age_s, default=0),
        boot_id=message.boot_id,
        instance=message.instance,
        address=request.address,
        agent_version=message.agent_version,
        profile_seq=message.profile_seq,
        credential_generation=message.credential_generation,
        policy_version=message.policy_version,
        clock_offset=message.clock - now if message.clock else 0,
        failures=message.failures,
        last_refusal=message.last_refusal,
        inventory=inventory,
        hostname="" if message.inventory is None else message.inventory.hostname,
        results=message.results,
    )
