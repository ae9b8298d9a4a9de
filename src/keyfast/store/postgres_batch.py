"""Batches of check-ins on PostgreSQL, through a connection of their own.

Several servers may write at once: the rows of a batch are locked in the order of their ids before
anything is judged, so that writers wait for each other and never deadlock.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from keyfast.core.check_in import Standing
from keyfast.core.endpoint import EndpointState
from keyfast.store import batch as batches
from keyfast.store import postgres
from keyfast.store.batch import KEEP_CHANGES, CheckIn, Decided, ForkFound, Verdict
from keyfast.store.outage import is_outage, not_ready
from keyfast.store.types import storable

_STATES = {state.value: state for state in EndpointState}
_TYPES = {
    "seq": "bigint",
    "head": "bytea",
    "displaced": "bytea",
    "inventory_digest": "bytea",
    "seen_at": "bigint",
    "next_due": "bigint",
    "verified_at": "bigint",
    "address": "text",
    "agent_version": "text",
    "profile_seq": "int",
    "credential_generation": "int",
    "policy_version": "int",
    "clock_offset": "bigint",
    "failures": "int",
    "last_refusal": "text",
    "heard_hours": "bigint",
    "heard_days": "bigint",
    "boot_id": "uuid",
    "instance": "uuid",
}
_COLUMNS = (*batches.PRESENCE_COLUMNS, "boot_id", "instance")
_STANDINGS = (
    "SELECT endpoint_id, state, seq, head, displaced, inventory_digest, tokens_from, commands,"
    " seen_at, heard_hours, heard_days"
    " FROM presence WHERE endpoint_id = ANY($1::uuid[]) ORDER BY endpoint_id FOR UPDATE"
)
_PRESENCE = (
    f"UPDATE presence SET {', '.join(f'{name} = new.{name}' for name in _COLUMNS)}"  # noqa: S608 - own names
    f" FROM unnest($1::uuid[], {', '.join(f'${n}::{_TYPES[name]}[]' for n, name in enumerate(_COLUMNS, 2))})"
    f" AS new (id, {', '.join(_COLUMNS)}) WHERE endpoint_id = new.id"
)
_STATE = "UPDATE presence SET state = $2 WHERE endpoint_id = $1"
_INVENTORY = (
    "WITH change AS (INSERT INTO inventory_change (endpoint_id, digest, document, recorded_at)"
    " SELECT $1, $2, $3, greatest($4, 1 + last) FROM"
    " (SELECT max(recorded_at) AS last FROM inventory_change WHERE endpoint_id = $1) AS known RETURNING *)"
    " INSERT INTO inventory (endpoint_id, digest, document, recorded_at)"
    " SELECT endpoint_id, digest, document, recorded_at FROM change"
    " ON CONFLICT (endpoint_id) DO UPDATE SET digest = excluded.digest, document = excluded.document,"
    " recorded_at = excluded.recorded_at"
)
_FORGET = (
    "DELETE FROM inventory_change WHERE endpoint_id = $1 AND recorded_at <="
    " (SELECT recorded_at FROM inventory_change WHERE endpoint_id = $1"
    " ORDER BY recorded_at DESC LIMIT 1 OFFSET $2)"
)
_TOLD = (
    f"UPDATE endpoint SET {', '.join(f'{name} = ${n}' for n, name in enumerate(batches.TOLD, 1))} WHERE id = $5"  # noqa: S608 - own names
    f" AND ({' OR '.join(f'{name} <> ${n}' for n, name in enumerate(batches.TOLD, 1))})"
)
_SIDES = (
    "SELECT endpoint_id, boot_id, instance, address, name, seen_at"
    " FROM presence JOIN endpoint ON id = endpoint_id WHERE endpoint_id = ANY($1::uuid[])"
)
_FORK = (
    "INSERT INTO fork (endpoint_id, kind, first_at, last_at, count, displaced, arrived)"
    " VALUES ($1, $2, $3, $3, 1, $4, $5) ON CONFLICT (endpoint_id) DO UPDATE"
    " SET kind = $2, last_at = $3, count = fork.count + 1, displaced = $4, arrived = $5"
)
_EVENT = "INSERT INTO event (at, kind, endpoint_id, detail) VALUES ($1, $2, $3, $4)"
_RESULT = {
    told: "UPDATE command SET state = $1, updated_at = $2, detail = coalesce(nullif($3::text, ''), detail)"  # noqa: S608 - states of the table, not input
    f" WHERE endpoint_id = $4 AND id = $5 AND state IN ({states})"
    for told, states in batches.RESULTS.items()
}
_WAIVE = (
    "UPDATE command SET state = 'waived', updated_at = $1, detail = $2"  # noqa: S608 - states of the table
    f" WHERE endpoint_id = $3 AND rotation_id IS NOT NULL AND state IN ({batches.WAIVABLE_STATES})"
)
_RECOUNT = (
    "UPDATE presence SET commands = (SELECT count(*) FROM command"  # noqa: S608 - states of the table
    f" WHERE command.endpoint_id = presence.endpoint_id AND state IN ({batches.WAITING_STATES}))"
    " WHERE endpoint_id = ANY($1::uuid[]) RETURNING endpoint_id, commands"
)


class PostgresBatches:
    """A batch writer of a PostgreSQL database; connects when needed, and again after an outage."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conn: asyncpg.Connection[Any] | None = None

    async def commit(self, batch: Sequence[CheckIn]) -> list[Verdict]:
        """See ``BatchStore.commit``."""
        try:
            conn = await self._connected()
            async with conn.transaction():
                decided, waiting = await _write(conn, batch)
        except BaseException as cause:
            if isinstance(cause, asyncio.CancelledError) or is_outage(cause):
                self._drop()
            if is_outage(cause):
                raise not_ready(cause) from cause
            raise
        return batches.with_commands(decided.verdicts, batch, waiting) if waiting else decided.verdicts

    async def close(self) -> None:
        """See ``BatchStore.close``."""
        self._drop()

    async def _connected(self) -> "asyncpg.Connection[Any]":
        if self._conn is None or self._conn.is_closed():
            self._conn = await postgres.connect(self._url, lookups_only=True)
        return self._conn

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.terminate()
        self._conn = None


async def _write(conn: "asyncpg.Connection[Any]", batch: Sequence[CheckIn]) -> tuple[Decided, dict[str, int]]:
    found = await conn.fetch(_STANDINGS, list({check_in.endpoint_id for check_in in batch}))
    standings = {str(row[0]): Standing(_STATES[row[1]], *row[2:]) for row in found}
    decided = batches.decide(standings, batch)
    if decided.states:
        await conn.executemany(_STATE, [(key, state.value) for key, state in decided.states.items()])
        await conn.executemany(_EVENT, [batches.move_event(*move) for move in decided.moves])
    if decided.forks:
        await _forks(conn, decided)
    if decided.standings:
        rows = [_presence_row(key, standing, last) for key, (standing, last) in decided.standings.items()]
        await conn.execute(_PRESENCE, *map(list, zip(*rows, strict=True)))
    if decided.inventories:
        await _inventories(conn, decided.inventories)
    return decided, await _results(conn, decided) if decided.reporting or decided.moves else {}


def _presence_row(endpoint_id: str, standing: Standing, last: CheckIn) -> tuple[Any, ...]:
    return (
        endpoint_id,
        *batches.presence_values(standing, last),
        last.boot_id or None,
        last.instance or None,
    )


async def _inventories(conn: "asyncpg.Connection[Any]", changed: Sequence[CheckIn]) -> None:
    await conn.executemany(
        _INVENTORY,
        [(new.endpoint_id, new.report.inventory_digest, new.inventory, new.seen_at * 1000) for new in changed],
    )
    await conn.executemany(_FORGET, [(new.endpoint_id, KEEP_CHANGES) for new in changed])
    await conn.executemany(_TOLD, [(*batches.told_values(new), new.endpoint_id) for new in changed if new.hostname])


async def _forks(conn: "asyncpg.Connection[Any]", decided: Decided) -> None:
    """Record forks; before the presence rows are written, which hold the displaced sides."""
    known = await conn.fetch(_SIDES, [found.arrived.endpoint_id for found in decided.forks if found.displaced is None])
    sides = {str(row[0]): batches.side(_text(row[1]), _text(row[2]), *row[3:]) for row in known}
    await conn.executemany(_FORK, [_fork_row(found, sides) for found in decided.forks])
    await conn.executemany(_EVENT, [batches.fork_event(found) for found in batches.news(decided)])


def _fork_row(found: ForkFound, sides: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
    arrived = found.arrived
    displaced = sides[arrived.endpoint_id] if found.displaced is None else batches.side_of(found.displaced)
    both = batches.json_text(displaced), batches.json_text(batches.side_of(arrived))
    return arrived.endpoint_id, found.kind.value, arrived.seen_at, *both


async def _results(conn: "asyncpg.Connection[Any]", decided: Decided) -> dict[str, int]:
    """Record results, then who is waited for no more; return how many commands wait for each of them."""
    for check_in in decided.reporting:
        for result in check_in.results:
            told = (result.state, check_in.seen_at, storable(result.detail), check_in.endpoint_id, result.id)
            await conn.execute(_RESULT[result.state], *told)
    for check_in in decided.farewells:
        await conn.execute(_WAIVE, check_in.seen_at, batches.REMOVED, check_in.endpoint_id)
    rows = await conn.fetch(_RECOUNT, list(decided.with_changed_commands))
    return {str(row[0]): row[1] for row in rows}


def _text(value: object) -> str:
    return "" if value is None else str(value)
