"""Probe: an endpoint tries a new access as it will check in with it, and is told by a signed proof that it holds.

That the server let it in is what proves a change, not that the endpoint was told about it. So it is put on
record, with what the endpoint uses from now on, before the answer goes out.
"""

from collections.abc import Callable

import msgspec

from keyfast.core import command
from keyfast.core.command import CommandEvent
from keyfast.core.endpoint import HEARD, EndpointState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.authenticate import Caller, SignedRequest, endpoint_caller, mode_refusal, unknown_or_superseded
from keyfast.services.check_in import Reply, Shown
from keyfast.services.live import LiveState
from keyfast.services.progress import Windows
from keyfast.services.windows_check_in import WindowsCheckInService
from keyfast.store import changes, commands, endpoints, uses
from keyfast.store.database import Database
from keyfast.store.identities import Identities
from keyfast.trust.roles import PROBE_TYP
from keyfast.wire import limits, messages
from keyfast.wire.changes import Probe, ProbeAnswer, ProbeProof, decode_probe

_NOT_WORKING = {
    EndpointState.PENDING: RefusalClass.PENDING,
    EndpointState.REGISTERED: RefusalClass.TOKEN_EXPIRED,
    EndpointState.REVOKED: RefusalClass.REVOKED,
}


class ProbeService:
    """Takes the probes of endpoints. One per check-in process.

    Args:
        live: keys in force.
        database: the store.
        identities: for the rings of endpoints.
        windows_mode: authenticates where there is no access token.
        windows: recovery windows, which count who has proven a new access.
        clock: server time in unix seconds.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        identities: Identities,
        windows_mode: WindowsCheckInService,
        windows: Windows,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._database = database
        self._identities = identities
        self._windows_mode = windows_mode
        self._windows = windows
        self._clock = clock

    async def probe(self, request: SignedRequest, body: bytes) -> Reply:
        """Take one leg of a probe.

        Raises:
            NotReadyError: store, directory or winbind cannot serve now; nothing was written.
        """
        now = int(self._clock())
        if not request.presents_token:
            return await self._by_account(request, body, now)
        caller = endpoint_caller(self._live.current, request, body, now, limits.NONCE_LIFETIME)
        outcome = caller if isinstance(caller, Refusal) else await self._by_token(caller, body, now)
        return self._reply(outcome, now)

    async def _by_token(self, caller: Caller, body: bytes, now: int) -> bytes | Refusal:
        probe = _read(body)
        if isinstance(probe, Refusal):
            return probe
        known = await self._identities.find(caller.token.thumbprint)
        ring = known.ring if known else ""
        refusal = unknown_or_superseded(known) or mode_refusal(self._live.current, ring, Mode.OAUTH)
        return refusal or await self._proven(caller.token.endpoint_id, Shown(), caller.token.issued_at, probe, now)

    async def _by_account(self, request: SignedRequest, body: bytes, now: int) -> Reply:
        probe = _read(body)
        if isinstance(probe, Refusal):
            return self._reply(probe, now)
        entered = await self._windows_mode.enter(request, body, probe.account, probe.credential_generation)
        if isinstance(entered, Reply):
            return entered
        outcome = await self._proven(entered.endpoint_id, entered.shown, now, probe, now)
        return self._reply(outcome, now, entered.lines)

    async def _proven(
        self, endpoint_id: str, shown: Shown, authenticated_at: int, probe: Probe, now: int
    ) -> bytes | Refusal:
        """Put on record what was proven, all at once, then say so."""
        async with self._database.write() as conn:
            record = await endpoints.get(conn, endpoint_id)
            if record is None:
                return Refusal(RefusalClass.UNKNOWN_DEVICE)
            if record.presence.state not in HEARD:
                return Refusal(_NOT_WORKING[record.presence.state])
            if authenticated_at < record.presence.tokens_from:
                return Refusal(RefusalClass.TOKEN_EXPIRED, "the access token was revoked")
            await commands.lock(conn, endpoint_id)
            row = await changes.by_id(conn, endpoint_id, probe.command)
            if row is not None and row.state in command.from_states(CommandEvent.PROVEN):
                await changes.mark(conn, row, command.step(row.state, CommandEvent.PROVEN), now)
            await uses.move(conn, record.endpoint, shown.mode, shown.account, shown.generation)
            await self._windows.proven(conn, endpoint_id, row, now)
        live = self._live.current
        proof = ProbeProof(live.installation.id, endpoint_id, probe.command, probe.challenge, now)
        return messages.encode(ProbeAnswer(live.keyset.sign(PROBE_TYP, proof), live.keyset.delegations()))

    def _reply(self, outcome: bytes | Refusal, now: int, lines: tuple[str, ...] = ()) -> Reply:
        return Reply(outcome, self._live.current.nonces.issue(now), lines)


def _read(body: bytes) -> Probe | Refusal:
    try:
        return decode_probe(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        return Refusal(RefusalClass.MALFORMED, str(cause)[:200])
