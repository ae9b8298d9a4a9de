"""Check-in: verify, judge and record; answer only what is durably committed."""

from collections.abc import Callable
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import schedule
from keyfast.core.check_in import Accepted, Grant, Report
from keyfast.core.command import CommandState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services import renew
from keyfast.services.authenticate import SignedRequest, endpoint_caller, mode_refusal, unknown_or_superseded
from keyfast.services.change import ChangeService
from keyfast.services.live import Live, LiveState
from keyfast.services.receipts import receipt_of
from keyfast.services.went_back import Heard, WentBack
from keyfast.store import commands, endpoints, uses
from keyfast.store.database import Database
from keyfast.store.identities import Identities
from keyfast.store.writer import CheckIn as CheckInRow
from keyfast.store.writer import GroupCommit
from keyfast.trust.encoding import sha256, unb64u
from keyfast.wire import limits, messages
from keyfast.wire.messages import Registered

MAX_COMMANDS = 16
_OBEYED = frozenset({CommandState.APPLIED, CommandState.VERIFIED})
"""States that a command keeps when its endpoint says that it refused it, for it had obeyed it before."""


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


class Shown(msgspec.Struct, frozen=True):
    """What an endpoint authenticates with."""

    mode: Mode = Mode.OAUTH
    account: str = ""
    generation: int = 0


class Sender(msgspec.Struct, frozen=True):
    """Who sent a check-in, however it was authenticated.

    Attributes:
        endpoint_id: the endpoint.
        mode: how it authenticated.
        token_issued_at: server time from which its authentication is; a later revocation voids it.
        grant: resync grant of its nonce.
        registered: answer to its joining, in the same exchange.
        thumbprint: of the device key that made the proof.
        shown: what it authenticated with.
        held: what is on record; None where that was not looked up.
    """

    endpoint_id: str
    mode: Mode
    token_issued_at: int
    grant: Grant | None
    registered: Registered | None = None
    thumbprint: str = ""
    shown: Shown = Shown()
    held: Shown | None = None


class Letter(msgspec.Struct, frozen=True):
    """A check-in that can be read: the message, its body, and the canonical inventory if one is enclosed."""

    message: messages.CheckIn
    body: bytes
    inventory: bytes | None


class Observer(Protocol):
    """Hears of what endpoints refused: commands that this server does not send them, and packages."""

    def command_refused(self, endpoint_id: str, command: str, detail: str) -> None:
        """An endpoint refused a command (id) that is not one of its own, or that it had obeyed before."""
        ...

    def package_refused(self, endpoint_id: str, kind: str, package: str) -> None:
        """An endpoint did not take a package (the id it claims)."""
        ...


class CheckInService:
    """The hot path. One per check-in process.

    Args:
        live: keys, policy and profile in force.
        writer: the group-commit writer.
        database: for the rare reads (pending commands).
        identities: for the rings of endpoints, where OAuth is not open for all.
        changes: makes the changes of the web access server among the commands.
        ahead: hears what endpoints know that this server may have forgotten.
        observer: hears of what endpoints refused.
        clock: server time in unix seconds.
        chance: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        live: LiveState,
        writer: GroupCommit,
        database: Database,
        identities: Identities,
        changes: ChangeService,
        ahead: WentBack,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._live = live
        self._writer = writer
        self._database = database
        self._identities = identities
        self._changes = changes
        self._ahead = ahead
        self._observer = observer
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
        sender = Sender(token.endpoint_id, Mode.OAUTH, token.issued_at, caller.nonce.grant, thumbprint=token.thumbprint)
        return await self.record(live, sender, letter, request, now)

    async def record(self, live: Live, sender: Sender, letter: Letter, request: SignedRequest, now: int) -> Reply:
        """Judge and record the check-in of an authenticated sender, and answer it.

        Raises:
            NotReadyError: the store is down or its queue is full; nothing was written.
        """
        message = letter.message
        if await self._ahead.hear(sender.endpoint_id, heard_in(message)):
            live = self._live.current
        wait = schedule.next_check_in(live.policy.check_in_interval_s, self._chance())
        verdict = await self._writer.submit(_row(sender, request, letter, now, now + wait))
        if isinstance(verdict, Refusal):
            return Reply(verdict, self._nonce_for(live, verdict, sender.endpoint_id, now))
        if any(result.state == "failed" for result in message.results):
            await self._tell_refused(sender.endpoint_id, message.results)
        if message.package_refused is not None:
            told = message.package_refused
            self._observer.package_refused(sender.endpoint_id, told.kind, told.package)
        if _is_news(live, sender, message):
            async with self._database.write() as conn:
                await note_access(conn, sender.endpoint_id, sender.shown)
        receipt = await self._renewed(live, sender, message.renewal, now) if message.renewal else ""
        answer = await self._answer(live, verdict, letter.message, sender, wait, now)
        answer = msgspec.structs.replace(answer, receipt=receipt) if receipt else answer
        return Reply(messages.encode(answer), live.nonces.issue(now))

    async def _renewed(self, live: Live, sender: Sender, statement: str, now: int) -> str:
        """Put a new device key on record; return the receipt that names it, empty if it is not taken."""
        bringing = renew.Bringing(sender.endpoint_id, sender.thumbprint, "check-in", recovering=False)
        async with self._database.write() as conn:
            row = await renew.bind(conn, live, statement, bringing, now)
        return receipt_of(live, row, now) if row else ""

    async def _tell_refused(self, endpoint_id: str, results: tuple[messages.CommandResult, ...]) -> None:
        """Tell of refused commands that nobody here sent; those on record have their state to show it."""
        refused = {result.id: result.detail for result in results if result.state == "failed"}
        async with self._database.read() as conn:
            known = await commands.states(conn, endpoint_id, refused)
        for command, detail in refused.items():
            if command not in known or known[command] in _OBEYED:
                self._observer.command_refused(endpoint_id, command, detail)

    async def _closed(self, live: Live, thumbprint: str) -> Refusal | None:
        """Refuse an endpoint whose ring is not to use OAuth (any more)."""
        identity = await self._identities.find(thumbprint)
        return unknown_or_superseded(identity) or mode_refusal(live, identity.ring if identity else "", Mode.OAUTH)

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
            return await self._changes.offer(conn, endpoint_id, now=now, limit=MAX_COMMANDS)


def heard_in(message: messages.CheckIn) -> Heard:
    """What an endpoint knows of this installation."""
    return Heard(message.epoch, message.profile_seq, message.account, message.credential_generation)


def _is_news(live: Live, sender: Sender, message: messages.CheckIn) -> bool:
    """Whether it may use something else than is on record: it went back by itself, or this server did."""
    if sender.registered is not None:
        return False
    if sender.held is None:
        return message.epoch not in (0, live.installation.epoch)
    return sender.shown != sender.held


async def note_access(conn: AsyncConnection, endpoint_id: str, shown: Shown) -> None:
    """Put on record what an endpoint has authenticated with."""
    record = await endpoints.get(conn, endpoint_id)
    if record is not None:
        await uses.move(conn, record.endpoint, shown.mode, shown.account, shown.generation)


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
    told = message.inventory
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
            farewell=message.farewell,
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
        hostname="" if told is None else told.hostname,
        disks="" if told is None else told.disks.value,
        user="" if told is None else told.user,
        results=message.results,
    )
