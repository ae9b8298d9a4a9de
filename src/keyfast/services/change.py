"""Changes of the web access server: what one endpoint is to have, sealed for it and signed as it is offered.

A change is a command row without a statement until an answer takes it along. Then it says what the endpoint is
to have *now*, so that nothing stale is ever delivered, under a number above all that the endpoint has seen.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import command
from keyfast.core.access import Access, Held, InForce, access_for, change_for, same
from keyfast.core.command import CommandState
from keyfast.core.mode import Mode
from keyfast.errors import KeyfastError, TrustError
from keyfast.services import renew
from keyfast.services.known_account import bound_to
from keyfast.services.live import Live, LiveState
from keyfast.store import changes, commands, endpoints, profiles, rotation_counts
from keyfast.store.commands import CommandRow
from keyfast.store.endpoints import EndpointRecord, EndpointRow
from keyfast.trust import hpke
from keyfast.trust.roles import CHANGE_TYP
from keyfast.wire import messages
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE, Change
from keyfast.wire.renewal import RENEW_DEVICE_KEY

LIFETIME = 7 * 86400
PURPOSE = "web access server"
_log = logging.getLogger(__name__)


class Targets(Protocol):
    """Which access a rotation wants for an endpoint."""

    async def target(self, conn: AsyncConnection, endpoint: EndpointRow) -> Access | None:
        """Return the target of the rotation the endpoint is in, None if it is in none that gives out its target."""
        ...


class NoTargets:
    """There is no rotation."""

    async def target(self, conn: AsyncConnection, endpoint: EndpointRow) -> Access | None:  # noqa: ARG002 - the port's
        """See ``Targets.target``."""
        return None


@dataclass(frozen=True, slots=True)
class Told:
    """What an endpoint says that it has, in a recovery check-in.

    Attributes:
        access: what it uses.
        refused: its account was refused.
        staged: id of a change that it has staged already, empty if none.
        seen: highest command number that it has seen; a server that went back in time may be behind it.
    """

    access: Access
    refused: bool = False
    staged: str = ""
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """What an endpoint is given in a recovery.

    Attributes:
        access: what it is.
        statement: the change (JWS), empty where the endpoint has staged this very change.
        fresh: the statement was made just now.
    """

    access: Access
    statement: str
    fresh: bool


class ChangeService:
    """Makes changes. One per process that answers endpoints.

    Args:
        live: keys, profiles and accounts in force.
        targets: of rotations.
        entropy: returns that many random bytes.
        realm: Kerberos realm of the directory's domain, empty if there is none.
    """

    def __init__(self, live: LiveState, targets: Targets, entropy: Callable[[int], bytes], realm: str = "") -> None:
        self._live = live
        self._targets = targets
        self._entropy = entropy
        self._realm = realm

    async def offer(self, conn: AsyncConnection, endpoint_id: str, *, now: int, limit: int) -> tuple[str, ...]:
        """Take the commands to send with an answer to a check-in, lowest number first; changes are made here."""
        rows = await commands.offer(conn, endpoint_id, now=now, limit=limit)
        if any(row.action in commands.MADE_WHEN_OFFERED for row in rows):
            record = await endpoints.get(conn, endpoint_id)
            rows = [row for row in [await self._due(conn, record, row, now) for row in rows] if row is not None]
        return tuple(row.statement for row in sorted(rows, key=lambda row: row.seq))

    async def recover(self, conn: AsyncConnection, record: EndpointRecord, told: Told, now: int) -> Given | None:
        """Return what an endpoint recovers to; None if it has nothing to gain."""
        live = self._live.current
        target = await self._targets.target(conn, record.endpoint)
        held = Held(told.access, record.endpoint.account_key, told.refused)
        wanted = change_for(held, target, in_force(live, record.endpoint.ring, now))
        if wanted is None:
            return None
        row = await self._row(conn, record.endpoint.id, wanted, now)
        if row.state in _STAGED and row.id == told.staged and row.detail == says(wanted):
            return Given(wanted, "", fresh=False)
        if row.seq > told.seen and self._still_right(live, row, wanted, now):
            return Given(wanted, row.statement, fresh=False)
        made = await self._make(conn, live, record.endpoint, row, wanted, now, above=told.seen)
        return None if made is None else Given(wanted, made.statement, fresh=True)

    async def _row(self, conn: AsyncConnection, endpoint_id: str, wanted: Access, now: int) -> CommandRow:
        """The one outstanding change of the endpoint that this belongs to, or a new one.

        An endpoint that has made the change of its rotation, and went back since, gets one of its own.
        """
        await commands.lock(conn, endpoint_id)
        row = await changes.of_rotation(conn, endpoint_id, wanted.rotation) if wanted.rotation else None
        if row is None or row.state not in command.AGAIN:
            row = await changes.own(conn, endpoint_id)
        if row is not None:
            return row
        row = CommandRow(
            endpoint_id=endpoint_id,
            seq=await commands.next_seq(conn, endpoint_id),
            id=str(uuid.UUID(bytes=self._entropy(16), version=4)),
            action=CHANGE_WEB_ACCESS_SERVER,
            statement="",
            state=CommandState.QUEUED,
            created_at=now,
            expires_at=now + LIFETIME,
            updated_at=now,
        )
        await changes.add(conn, row)
        return row

    async def _due(
        self, conn: AsyncConnection, record: EndpointRecord | None, row: CommandRow, now: int
    ) -> CommandRow | None:
        """The row as it is to be sent; None while it has nothing to say."""
        live = self._live.current
        if row.action not in commands.MADE_WHEN_OFFERED or record is None:
            return row
        if row.action == RENEW_DEVICE_KEY:
            return await renew.offered(conn, live, row, now)
        if row.action == ERASE:
            good = row.state is CommandState.OFFERED and self._is_good(live, row, now)
            return row if good else await self._erase(conn, live, row, now)
        return await self._access_due(conn, live, record, row, now)

    async def _access_due(
        self, conn: AsyncConnection, live: Live, record: EndpointRecord, row: CommandRow, now: int
    ) -> CommandRow | None:
        """A change of the web access server as it is to be sent; None while there is nothing to change."""
        target = await self._targets.target(conn, record.endpoint)
        if (row.rotation_id or "") != (target.rotation if target else ""):
            return None
        held = Held(_on_record(record), record.endpoint.account_key)
        wanted = access_for(held, target, in_force(live, record.endpoint.ring, now))
        if wanted is None or self._still_right(live, row, wanted, now):
            return None if wanted is None else row
        if same(wanted, held.access) and await _credited(conn, row, now):
            return None
        return await self._make(conn, live, record.endpoint, row, wanted, now)

    def _still_right(self, live: Live, row: CommandRow, wanted: Access, now: int) -> bool:
        """Whether the statement that was sent can be sent again as it is."""
        return row.state is CommandState.OFFERED and row.detail == says(wanted) and self._is_good(live, row, now)

    def _is_good(self, live: Live, row: CommandRow, now: int) -> bool:
        if not row.statement or row.expires_at <= now:
            return False
        try:
            claims = live.keyset.verify(row.statement, CHANGE_TYP, Change)
        except TrustError:
            return False
        return claims.epoch == live.installation.epoch

    async def _make(
        self,
        conn: AsyncConnection,
        live: Live,
        endpoint: EndpointRow,
        row: CommandRow,
        wanted: Access,
        now: int,
        above: int = 0,
    ) -> CommandRow | None:
        """Make the statement of a row and put it on record as offered; None if it cannot be made."""
        seq = max(await commands.fresh_seq(conn, row), above + 1)
        reference = f"{live.installation.epoch}.{seq}"
        try:
            account = self._sealed(live, endpoint, wanted, reference) if wanted.mode is Mode.WINDOWS else ""
            profile = await _profile(conn, live, wanted)
            claims = self._claims(live, row, seq, now, profile=profile, account=account)
            return await self._put(conn, row, claims, live.keyset.sign(CHANGE_TYP, claims), says(wanted), now)
        except (KeyfastError, LookupError) as cause:
            _log.warning("a change for endpoint %s cannot be made: %s", endpoint.id, cause)
            return None

    async def _erase(self, conn: AsyncConnection, live: Live, row: CommandRow, now: int) -> CommandRow:
        claims = self._claims(live, row, await commands.fresh_seq(conn, row), now)
        return await self._put(conn, row, claims, live.keyset.sign(CHANGE_TYP, claims), row.detail, now)

    def _claims(
        self, live: Live, row: CommandRow, seq: int, now: int, *, profile: str = "", account: str = ""
    ) -> Change:
        return Change(
            installation=live.installation.id,
            id=row.id,
            endpoint=row.endpoint_id,
            seq=seq,
            epoch=live.installation.epoch,
            issued_at=now,
            expires_at=now + LIFETIME,
            action=row.action,
            profile=profile,
            account=account,
            rotation=row.rotation_id or "",
        )

    def _sealed(self, live: Live, endpoint: EndpointRow, wanted: Access, reference: str) -> str:
        """The account's credential, for the endpoint's own key alone.

        Raises:
            LookupError: there is no such generation, or its password was destroyed.
            TrustError: it cannot be opened, or the endpoint's key is none.
        """
        account = live.accounts[wanted.account]
        password = account.generations[wanted.generation].password_sealed
        if not password:
            raise LookupError("the password of this credential generation was destroyed")
        opened = self._live.kek().open(password, bound_to=bound_to(account.key, wanted.generation))
        plain = BundleAccount(account.name, account.domain, opened.reveal().decode(), wanted.generation, self._realm)
        return hpke.seal(
            endpoint.seal_jwk, messages.encode(plain), purpose=PURPOSE, endpoint=endpoint.id, reference=reference
        )

    async def _put(
        self, conn: AsyncConnection, row: CommandRow, claims: Change, statement: str, detail: str, now: int
    ) -> CommandRow:
        state = command.offered_again(row.state)
        after = replace(
            row,
            seq=claims.seq,
            statement=statement,
            state=state,
            expires_at=claims.expires_at,
            updated_at=now,
            detail=detail,
        )
        await changes.put(conn, row, after)
        await commands.recount(conn, row.endpoint_id)
        return after


_STAGED = frozenset({CommandState.RECEIVED, CommandState.PROVEN})


def in_force(live: Live, ring: str, now: int) -> InForce:
    """What is in force for the endpoints of a ring; an account that is disabled or locked helps nobody now."""
    return InForce(
        {mode: row.seq for mode, row in live.profiles.items()},
        {
            key: {number: row.state for number, row in account.generations.items()}
            for key, account in live.accounts.items()
            if account.unusable(now) is None
        },
        live.modes.open_for(ring),
    )


def says(access: Access) -> str:
    """What a change brings, in words; also tells whether one that was made still says the right thing."""
    credential = f", {access.account} generation {access.generation}" if access.account else ""
    return f"{access.mode.value}, access profile {access.profile_seq}{credential}"


def _on_record(record: EndpointRecord) -> Access:
    row = record.endpoint
    return Access(row.mode, record.presence.profile_seq, row.account_key, row.generation)


async def _credited(conn: AsyncConnection, row: CommandRow, now: int) -> bool:
    """Count a rotation's change whose endpoint came to use the same without it; tell whether that is enough."""
    if row.rotation_id is None or row.wave < 1 or row.state is not CommandState.QUEUED:
        return False
    other = await changes.newest_other(conn, row)
    restart_proof = await rotation_counts.wants_restart(conn, row.rotation_id)
    state = command.credited(other.state if other else None, restart_proof=restart_proof)
    if state is None:
        return False
    await changes.mark(conn, row, state, now)
    return True


async def _profile(conn: AsyncConnection, live: Live, wanted: Access) -> str:
    """The statement of an access profile.

    Raises:
        LookupError: it is not on record.
    """
    known = live.profiles.get(wanted.mode)
    if known is not None and known.seq == wanted.profile_seq:
        return known.statement
    row = await profiles.get(conn, wanted.profile_seq)
    if row is None:
        raise LookupError(f"no access profile {wanted.profile_seq}")
    return row.statement
