"""What administrators read and decide about endpoints: list, show, approve, revoke, reinstate, clear."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import endpoint, schedule
from keyfast.core.attendance import DAY, HOUR, marks
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.search import Search
from keyfast.core.user import plain_user
from keyfast.errors import ConflictError, NotFoundError
from keyfast.services.package_origin import origin
from keyfast.store import commands, endpoint_serials, endpoints, events, rotation_targets
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRecord
from keyfast.trust.access_token import AccessToken
from keyfast.wire.admin import CommandLine, EndpointDetail, EndpointLine, EventLine, ForkView, HeardView, InventoryView
from keyfast.wire.messages import Inventory, SelfRecord

HISTORY = 20
COPIES = 50


class ReportService:
    """Reads and administers endpoint records."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def list_page(
        self, search: Search, *, after: str = "", limit: int, rings: Sequence[str] = ()
    ) -> list[EndpointLine]:
        """One page of endpoints in order of name, by key, so that every page costs the same.

        Args:
            search: what is looked for.
            after: id of the last one of the page before, empty for the first page.
            limit: how many at most.
            rings: whom the asker answers for; empty for all.
        """
        if search.ring:
            rings = (search.ring,) if not rings or search.ring in rings else ()
            if not rings:
                return []
        by_name = replace(search, name=search.q or search.name)
        async with self._database.read() as conn:
            rows = await endpoints.list_page(conn, after=after, limit=limit, wanted=by_name, rings=rings)
            if not rows and search.q:
                rows = await self._otherwise(conn, search, after, limit, rings)
        return [self._line(row) for row in rows]

    async def _otherwise(
        self, conn: AsyncConnection, search: Search, after: str, limit: int, rings: Sequence[str]
    ) -> list[EndpointRecord]:
        """Nobody is called so: look for the computer, then for whoever uses it."""
        numbers = [] if after else await endpoint_serials.found(conn, search.q, limit=COPIES)
        known = [await endpoints.get(conn, number) for number in numbers]
        rows = [row for row in known if row is not None and _is_meant(row, search, rings)]
        user = plain_user(search.q)
        if rows or not user:
            return rows
        return await endpoints.list_page(conn, after=after, limit=limit, wanted=search, user=user, rings=rings)

    async def show(self, endpoint_id: str) -> EndpointDetail:
        """Everything on record about one endpoint."""
        async with self._database.read() as conn:
            record = await endpoints.get(conn, endpoint_id)
            if record is None:
                raise NotFoundError(f"no endpoint {endpoint_id}", repair="keyfast endpoint list")
            document = await endpoints.inventory(conn, endpoint_id)
            history = await endpoints.inventory_history(conn, endpoint_id, limit=HISTORY)
            fork = await endpoints.fork(conn, endpoint_id)
            told = await commands.list_page(conn, endpoint_id, limit=HISTORY)
            happened = await events.list_page(conn, endpoint_id=endpoint_id, before=None, limit=HISTORY)
            came_from = await origin(conn, record.endpoint, int(self._clock()))
        presence = record.presence
        return EndpointDetail(
            line=self._line(record),
            heard=_heard(record, int(self._clock())),
            registered_at=record.endpoint.registered_at,
            thumbprint=record.endpoint.thumbprint,
            package=record.endpoint.package_id,
            hardware=record.endpoint.hardware,
            seq=presence.seq,
            boot_id=presence.boot_id,
            address=presence.address,
            profile_seq=presence.profile_seq,
            policy_version=presence.policy_version,
            clock_offset_s=presence.clock_offset,
            failures=presence.failures,
            last_refusal=presence.last_refusal,
            verified_at=presence.verified_at,
            inventory=None if document is None else _inventory(document.document),
            inventory_changes=tuple(
                InventoryView(recorded_at_ms=row.recorded_at, inventory=_inventory(row.document)) for row in history
            ),
            fork=None
            if fork is None
            else ForkView(
                kind=fork.kind,
                first_at=fork.first_at,
                last_at=fork.last_at,
                count=fork.count,
                displaced=fork.displaced,
                arrived=fork.arrived,
            ),
            commands=tuple(
                CommandLine(row.id, row.action, row.state.value, row.created_at, row.updated_at, row.detail)
                for row in told
            ),
            events=tuple(
                EventLine(at=row.at, kind=row.kind, endpoint=row.endpoint_id or "", detail=row.detail)
                for row in happened
            ),
            origin=came_from,
            mode=record.endpoint.mode.value,
            account=record.endpoint.account_key,
            generation=record.endpoint.generation,
            ring=record.endpoint.ring,
        )

    async def own_record(self, token: AccessToken) -> SelfRecord | Refusal:
        """What the server holds of the endpoint that the token names, if that may speak now."""
        async with self._database.read() as conn:
            record = await endpoints.get(conn, token.endpoint_id)
        if record is None:
            return Refusal(RefusalClass.UNKNOWN_DEVICE)
        presence = record.presence
        if presence.state is EndpointState.REVOKED:
            return Refusal(RefusalClass.REVOKED)
        if token.issued_at < presence.tokens_from:
            return Refusal(RefusalClass.TOKEN_EXPIRED, "the access token was revoked")
        return SelfRecord(
            id=record.endpoint.id,
            name=record.endpoint.name,
            state=presence.state.value,
            registered_at=record.endpoint.registered_at,
            seq=presence.seq,
            seen_at=presence.seen_at,
            next_due=presence.next_due,
            profile_seq=presence.profile_seq,
            policy_version=presence.policy_version,
        )

    async def change(self, endpoint_id: str, event: EndpointEvent, by: str) -> EndpointState:
        """Apply an administrator's decision; the table says whether it is possible.

        Raises:
            NotFoundError: there is no such endpoint.
            TransitionError: not in its present state.
            ConflictError: its state changed meanwhile; look again.
        """
        async with self._database.write() as conn:
            record = await endpoints.get(conn, endpoint_id)
            if record is None:
                raise NotFoundError(f"no endpoint {endpoint_id}", repair="keyfast endpoint list")
            state = record.presence.state
            new = endpoint.step(state, event)
            if not await endpoints.set_state(conn, endpoint_id, state, new):
                raise ConflictError("its state changed meanwhile; look again")
            if event is EndpointEvent.CLEARED:
                await endpoints.forget_fork(conn, endpoint_id)
            if event is EndpointEvent.REVOKED:
                why = f"the endpoint was revoked by {by}"
                await rotation_targets.waive_everywhere(conn, endpoint_id, detail=why, now=int(self._clock()))
            await events.add(
                conn,
                at=int(self._clock()),
                kind=f"endpoint_{event.value}",
                endpoint_id=endpoint_id,
                detail={"by": by},
            )
        return new

    async def events_page(self, before: int | None, limit: int) -> list[EventLine]:
        """Newest events first."""
        async with self._database.read() as conn:
            rows = await events.list_page(conn, endpoint_id=None, before=before, limit=limit)
        return [
            EventLine(at=row.at, kind=row.kind, endpoint=row.endpoint_id or "", detail=row.detail, id=row.id)
            for row in rows
        ]

    def _line(self, record: EndpointRecord) -> EndpointLine:
        presence = record.presence
        return EndpointLine(
            id=record.endpoint.id,
            name=record.endpoint.name,
            state=presence.state.value,
            seen_at=presence.seen_at,
            next_due=presence.next_due,
            silent=presence.state is not EndpointState.RETIRED
            and schedule.is_silent(presence.seen_at, presence.next_due, self._clock()),
            agent_version=presence.agent_version,
            disks=record.endpoint.disks.value,
            user=record.endpoint.user_name,
        )


def _is_meant(row: EndpointRecord, search: Search, rings: Sequence[str]) -> bool:
    who = row.endpoint
    return (
        (not rings or who.ring in rings)
        and search.state in (None, row.presence.state)
        and search.disks in (None, who.disks)
        and search.account in ("", who.account_key)
        and search.package in ("", who.package_id)
    )


def _heard(record: EndpointRecord, now: int) -> HeardView:
    presence, since = record.presence, record.endpoint.registered_at
    return HeardView(
        marks(presence.heard_hours, presence.seen_at, now, HOUR, since),
        marks(presence.heard_days, presence.seen_at, now, DAY, since),
    )


def _inventory(document: bytes) -> Inventory:
    return msgspec.json.decode(document, type=Inventory)
