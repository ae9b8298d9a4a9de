"""Endpoint records: who they are (cold), how they are (hot), their inventory and their forks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Row, Select, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.check_in import NO_DIGEST
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.protection import Disks
from keyfast.core.search import EVERYTHING, Search
from keyfast.errors import ConflictError
from keyfast.store import endpoint_serials, tables
from keyfast.store.statements import insert_once
from keyfast.store.tables import device_key, endpoint, package, presence

FEW = 10_000
"""Up to so many endpoints in a state are sorted by name; more are soon met on the way through the names."""


@dataclass(frozen=True, slots=True)
class EndpointRow:
    r"""Who an endpoint is (``registered_at`` in unix seconds).

    Attributes:
        ring: of its package.
        account_key: account (``DOMAIN\name``) that it last proved to use, at first its package's; empty in OAuth mode.
        generation: credential generation of that account.
        mode: authentication mode that it last proved to use.
        disks: what its last inventory says of all volumes (``core.protection``).
        user_name: who was last seen signed in at it, as its operating system spells the name.
        user_key: the same as it is searched (``core.user``).
    """

    id: str
    name: str
    registered_at: int
    package_id: str
    enrolment_jti: str
    thumbprint: str
    public_jwk: dict[str, str]
    seal_jwk: dict[str, str]
    hardware: dict[str, Any]
    ring: str = ""
    account_key: str = ""
    generation: int = 0
    mode: Mode = Mode.OAUTH
    disks: Disks = Disks.UNKNOWN
    user_name: str = ""
    user_key: str = ""


@dataclass(frozen=True, slots=True)
class PresenceRow:
    """What the last accepted check-in said; times in unix seconds, 0 and empty before the first."""

    state: EndpointState
    seq: int = 0
    head: bytes = NO_DIGEST
    displaced: bytes = NO_DIGEST
    inventory_digest: bytes = NO_DIGEST
    tokens_from: int = 0
    commands: int = 0
    seen_at: int = 0
    next_due: int = 0
    verified_at: int = 0
    boot_id: str = ""
    instance: str = ""
    address: str = ""
    agent_version: str = ""
    profile_seq: int = 0
    credential_generation: int = 0
    policy_version: int = 0
    clock_offset: int = 0
    failures: int = 0
    last_refusal: str = ""
    heard_hours: int = 0
    heard_days: int = 0


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """Both halves of the record."""

    endpoint: EndpointRow
    presence: PresenceRow


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """An inventory: its SHA-256, its canonical bytes, and when it was recorded (unix **milliseconds**)."""

    digest: bytes
    document: bytes
    recorded_at: int


@dataclass(frozen=True, slots=True)
class ForkRow:
    """Two histories of one endpoint: the newest occurrence, and how often it happened (unix seconds)."""

    kind: str
    first_at: int
    last_at: int
    count: int
    displaced: dict[str, Any]
    arrived: dict[str, Any]


async def insert(conn: AsyncConnection, row: EndpointRow, state: EndpointState) -> None:
    """Put an endpoint, its device key and an empty presence on record.

    Raises:
        ConflictError: the device key is on record already; nothing was written.
    """
    key = {
        "thumbprint": row.thumbprint,
        "endpoint_id": row.id,
        "status": "current",
        "since": row.registered_at,
    }
    if not await insert_once(conn, device_key, key):
        raise ConflictError("this device key is on record already")
    await conn.execute(sa.insert(endpoint).values(asdict(row) | {"mode": row.mode.value, "disks": row.disks.value}))
    await endpoint_serials.remember(conn, row.id, row.hardware)
    blank = {"head": NO_DIGEST, "displaced": NO_DIGEST, "inventory_digest": NO_DIGEST}
    await conn.execute(sa.insert(presence).values(endpoint_id=row.id, state=state.value, **blank))


async def get(conn: AsyncConnection, endpoint_id: str) -> EndpointRecord | None:
    """Return an endpoint's record, None if there is none of this id."""
    if ids.parse_endpoint_id(endpoint_id) is None:
        return None
    row = (await conn.execute(_records().where(endpoint.c.id == endpoint_id))).one_or_none()
    return None if row is None else _record(row)


async def ring_of(conn: AsyncConnection, endpoint_id: str) -> str | None:
    """Return the ring of an endpoint, None for an id that is nobody's."""
    if ids.parse_endpoint_id(endpoint_id) is None:
        return None
    return (await conn.execute(select(endpoint.c.ring).where(endpoint.c.id == endpoint_id))).scalar_one_or_none()


async def by_thumbprint(conn: AsyncConnection, thumbprint: str) -> EndpointRecord | None:
    """Return the record of the endpoint that has or had this device key (RFC 7638 thumbprint)."""
    of_key = _records().join(device_key, device_key.c.endpoint_id == endpoint.c.id)
    row = (await conn.execute(of_key.where(device_key.c.thumbprint == thumbprint))).one_or_none()
    return None if row is None else _record(row)


async def list_page(
    conn: AsyncConnection,
    *,
    after: str = "",
    limit: int,
    wanted: Search = EVERYTHING,
    user: str = "",
    rings: Sequence[str] = (),
) -> list[EndpointRecord]:
    """Return endpoints in order of name, beginning after ``after`` (an id; empty for the first page).

    Args:
        conn: in a transaction.
        after: id of the last one of the page before.
        limit: how many at most.
        wanted: what is looked for, but for ``q`` and ``ring``.
        user: who was last seen signed in, as ``core.user`` spells the name; empty for anybody.
        rings: any of them; empty for all.
    """
    if wanted.package and ids.parse_endpoint_id(wanted.package) is None:
        return []
    few = wanted.state is not None and await _are_few(conn, wanted.state)
    by = _columns(few=few)
    page = _records().order_by(by["name"], endpoint.c.id).limit(limit)
    if after:
        last = await get(conn, after)
        if last is None:
            return []
        page = page.where(tuple_(by["name"], endpoint.c.id) > (last.endpoint.name, last.endpoint.id))
    if wanted.name:
        page = page.where(by["name"] >= wanted.name, by["name"] < wanted.name + "\U0010ffff")
    told = {"user_key": user, "account_key": wanted.account, "package_id": wanted.package, "disks": wanted.disks}
    page = page.where(*(by[column] == str(value) for column, value in told.items() if value))
    if wanted.state is not None:
        page = page.where(*_in_state(wanted.state, few=few))
    if rings:
        page = page.where(by["ring"].in_(rings)) if few else _of_rings(page, rings, limit)
    return [_record(row) for row in await conn.execute(page)]


async def set_state(conn: AsyncConnection, endpoint_id: str, expected: EndpointState, new: EndpointState) -> bool:
    """Change the state if it is the ``expected`` one; tell whether it was."""
    changed = await conn.execute(
        update(presence)
        .where(presence.c.endpoint_id == endpoint_id, presence.c.state == expected.value)
        .values(state=new.value)
    )
    return changed.rowcount == 1


async def revoke_tokens(conn: AsyncConnection, endpoint_id: str, at: int) -> None:
    """Void the access tokens issued before ``at`` (unix seconds); an earlier time never brings any back."""
    await conn.execute(
        update(presence)
        .where(presence.c.endpoint_id == endpoint_id, presence.c.tokens_from < at)
        .values(tokens_from=at)
    )


async def take_package(conn: AsyncConnection, endpoint_id: str, package_id: str, enrolment_jti: str) -> None:
    """Record that the endpoint enrols with another package's token, and so with what that package embeds."""
    of_package = (package.c.id == package_id,)
    taken = {
        name: select(package.c[name]).where(*of_package).scalar_subquery()
        for name in ("ring", "account_key", "generation", "mode")
    }
    ids_ = {"package_id": package_id, "enrolment_jti": enrolment_jti}
    await conn.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(taken | ids_))


async def set_access(conn: AsyncConnection, endpoint_id: str, mode: Mode, account_key: str, generation: int) -> None:
    """Record what the endpoint has proved to authenticate with."""
    proved = {"mode": mode.value, "account_key": account_key, "generation": generation}
    await conn.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(proved))


async def take_key(conn: AsyncConnection, row: EndpointRow, now: int) -> None:
    """Make the keys in ``row`` those of an endpoint on record; what it had until now serves for recovery only.

    Raises:
        ConflictError: the device key is another endpoint's.
    """
    older = update(device_key).where(device_key.c.endpoint_id == row.id, device_key.c.status == "current")
    await conn.execute(older.values(status="superseded", since=now))
    key = {"thumbprint": row.thumbprint, "endpoint_id": row.id, "status": "current", "since": now}
    if not await insert_once(conn, device_key, key):
        own = (device_key.c.thumbprint == row.thumbprint, device_key.c.endpoint_id == row.id)
        again = await conn.execute(update(device_key).where(*own).values(status="current", since=now))
        if again.rowcount != 1:
            raise ConflictError("this device key is on record already")
    keys = {"thumbprint": row.thumbprint, "public_jwk": row.public_jwk, "seal_jwk": row.seal_jwk}
    await conn.execute(update(endpoint).where(endpoint.c.id == row.id).values(keys))


async def forget_fork(conn: AsyncConnection, endpoint_id: str) -> None:
    """Forget the branch that was displaced, so that the one that stays is not taken for it."""
    await conn.execute(update(presence).where(presence.c.endpoint_id == endpoint_id).values(displaced=NO_DIGEST))


async def inventory(conn: AsyncConnection, endpoint_id: str) -> InventoryRow | None:
    """Return the newest inventory."""
    newest = tables.inventory.c
    found = select(newest.digest, newest.document, newest.recorded_at).where(newest.endpoint_id == endpoint_id)
    row = (await conn.execute(found)).one_or_none()
    return None if row is None else InventoryRow(*row)


async def inventories(conn: AsyncConnection, endpoint_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the newest inventory documents of these endpoints, by id."""
    newest = tables.inventory.c
    found = select(newest.endpoint_id, newest.document).where(newest.endpoint_id.in_(endpoint_ids))
    return {row.endpoint_id: row.document for row in await conn.execute(found)}


async def inventory_history(conn: AsyncConnection, endpoint_id: str, *, limit: int) -> list[InventoryRow]:
    """Return the inventories that were recorded as changes, newest first."""
    change = tables.inventory_change.c
    found = select(change.digest, change.document, change.recorded_at).where(change.endpoint_id == endpoint_id)
    return [InventoryRow(*row) for row in await conn.execute(found.order_by(change.recorded_at.desc()).limit(limit))]


async def fork(conn: AsyncConnection, endpoint_id: str) -> ForkRow | None:
    """Return what is known of the endpoint's fork, None if its history never forked."""
    row = (await conn.execute(select(tables.fork).where(tables.fork.c.endpoint_id == endpoint_id))).one_or_none()
    return None if row is None else ForkRow(*row[1:])


_HOT = [column for column in presence.columns if column.name != "endpoint_id"]
_COLD = list(endpoint.columns)


def _records() -> Select[Any]:
    return select(*_COLD, *_HOT).join_from(endpoint, presence, presence.c.endpoint_id == endpoint.c.id)


def _record(row: Row[Any]) -> EndpointRecord:
    cold, hot = row[: len(_COLD)], dict(zip((column.name for column in _HOT), row[len(_COLD) :], strict=True))
    known = hot | {
        "state": EndpointState(hot["state"]),
        "boot_id": hot["boot_id"] or "",
        "instance": hot["instance"] or "",
    }
    who = EndpointRow(*cold)
    return EndpointRecord(replace(who, mode=Mode(who.mode), disks=Disks(who.disks)), PresenceRow(**known))


def _of_rings(page: Select[Any], rings: Sequence[str], limit: int) -> Select[Any]:
    """Restrict ``page`` to rings: a page of each by its index, merged, so that nobody sorts all of their endpoints."""
    each = (page.where(endpoint.c.ring == ring).with_only_columns(endpoint.c.id).subquery() for ring in rings)
    found = sa.union_all(*(select(part.c.id) for part in each))
    return _records().where(endpoint.c.id.in_(found)).order_by(endpoint.c.name, endpoint.c.id).limit(limit)


def _columns(*, few: bool) -> dict[str, sa.ColumnElement[Any]]:
    """By what pages are ordered and restricted.

    Of ``few`` in a state they are expressions, so that no planner walks through all names, or all of a ring, to find
    those few.
    """
    columns = {name: endpoint.c[name] for name in ("name", "ring", "account_key", "package_id", "user_key", "disks")}
    return {name: sa.func.coalesce(column, column) if few else column for name, column in columns.items()}


async def _are_few(conn: AsyncConnection, state: EndpointState) -> bool:
    """Tell whether there are few endpoints in a state, from the index of those that are not active."""
    if state is EndpointState.ACTIVE:
        return False
    found = select(presence.c.endpoint_id).where(*_in_state(state, few=True)).limit(FEW + 1)
    return int(await conn.scalar(select(sa.func.count()).select_from(found.subquery())) or 0) <= FEW


def _in_state(state: EndpointState, *, few: bool) -> tuple[sa.ColumnElement[bool], ...]:
    """Restrict a page so that its cost follows the page, not the number of endpoints in the state."""
    if few:
        # The second term is that of the partial index, in the words the planner recognises.
        return presence.c.state == state.value, sa.text("presence.state <> 'active'")  # type: ignore[return-value]
    # An expression, so that no planner fetches and sorts all endpoints of the state for one page.
    return (sa.func.coalesce(presence.c.state, "") == state.value,)
