"""Check-in: verify, judge and record; answer only what is durably committed."""

from collections.abc import Callable

import msgspec

from keyfast.core import schedule
from keyfast.core.check_in import Accepted, Report
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.authenticate import Caller, SignedRequest, endpoint_caller
from keyfast.services.live import Live, LiveState
from keyfast.store import commands
from keyfast.store.database import Database
from keyfast.store.writer import CheckIn as CheckInRow
from keyfast.store.writer import GroupCommit
from keyfast.trust.encoding import sha256, unb64u
from keyfast.wire import limits, messages

MAX_COMMANDS = 16


class Reply(msgspec.Struct, frozen=True):
    """What to answer: a body or a refusal, and the nonce for the next proof."""

    outcome: bytes | Refusal
    nonce: str


class CheckInService:
    """The hot path. One per check-in process.

    Args:
        live: keys, policy and profile in force.
        writer: the group-commit writer.
        database: for the rare reads (pending commands).
        clock: server time in unix seconds.
        chance: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        live: LiveState,
        writer: GroupCommit,
        database: Database,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._live = live
        self._writer = writer
        self._database = database
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
        try:
            message = messages.decode_check_in(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as cause:
            return Reply(Refusal(RefusalClass.MALFORMED, str(cause)[:200]), live.nonces.issue(now))
        inventory = None if message.inventory is None else messages.inventory_bytes(message.inventory)
        if inventory is not None and sha256(inventory) != unb64u(message.inventory_digest):
            return Reply(
                Refusal(RefusalClass.MALFORMED, "the inventory is not the one digested"),
                live.nonces.issue(now),
            )
        wait = schedule.next_check_in(live.policy.check_in_interval_s, self._chance())
        verdict = await self._writer.submit(_row(caller, request, body, message, inventory, now, now + wait))
        if isinstance(verdict, Refusal):
            return Reply(verdict, self._nonce_for(live, verdict, caller.token.endpoint_id, now))
        answer = await self._answer(live, verdict, message, caller.token.endpoint_id, wait, now)
        return Reply(messages.encode(answer), live.nonces.issue(now))

    def _nonce_for(self, live: Live, refusal: Refusal, endpoint_id: str, now: int) -> str:
        """A replayed number is answered with a grant: only the key's holder can use it, once."""
        expected = refusal.extra.get("expected_seq")
        return live.nonces.grant(now, endpoint_id, int(expected)) if expected else live.nonces.issue(now)

    async def _answer(
        self, live: Live, accepted: Accepted, message: messages.CheckIn, endpoint_id: str, wait: int, now: int
    ) -> messages.CheckInAnswer:
        commands = await self._pending(endpoint_id, now) if accepted.standing.commands else ()
        return messages.CheckInAnswer(
            server_time=now,
            next_check_in_s=wait,
            policy_version=live.policy.version,
            policy=live.policy if message.policy_version != live.policy.version else None,
            profile_seq=live.profile_seq,
            profile=live.profile if message.profile_seq < live.profile_seq else "",
            send_inventory=accepted.send_inventory,
            commands=commands,
            epoch=live.installation.epoch,
        )

    async def _pending(self, endpoint_id: str, now: int) -> tuple[str, ...]:
        async with self._database.write() as conn:
            return tuple(row.statement for row in await commands.offer(conn, endpoint_id, now=now, limit=MAX_COMMANDS))


def _row(
    caller: Caller,
    request: SignedRequest,
    body: bytes,
    message: messages.CheckIn,
    inventory: bytes | None,
    now: int,
    next_due: int,
) -> CheckInRow:
    return CheckInRow(
        endpoint_id=caller.token.endpoint_id,
        report=Report(
            seq=message.seq,
            digest=sha256(body),
            acked=unb64u(message.acked),
            inventory_digest=unb64u(message.inventory_digest),
            inventory_enclosed=inventory is not None,
            token_issued_at=caller.token.issued_at,
            grant=caller.nonce.grant,
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
