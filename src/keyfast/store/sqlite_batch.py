"""Batches of check-ins on SQLite, through a connection of their own.

Statements run on the event loop: they are short, and handing each to a thread costs more than running
it. Only the COMMIT, which waits for the disk, runs in a thread. The lock is never waited for inside
SQLite, so that a long transaction of another process delays the batch and not the loop.
"""

import asyncio
import functools
import sqlite3
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keyfast.core.check_in import Standing
from keyfast.core.endpoint import EndpointState
from keyfast.store import batch as batches
from keyfast.store.batch import KEEP_CHANGES, CheckIn, Decided, ForkFound, Verdict
from keyfast.store.outage import is_outage, not_ready
from keyfast.store.sqlite import BUSY_SECONDS, PRAGMAS, Checkpointer, file_uri
from keyfast.store.types import storable

CACHE_KIB = 65_536
BUSY_POLL = 0.002

_STATES = {state.value: state for state in EndpointState}
_STANDINGS = (
    "SELECT endpoint_id, state, seq, head, displaced, inventory_digest, tokens_from, commands,"
    " seen_at, heard_hours, heard_days"
    " FROM presence WHERE endpoint_id IN ({})"
)
_PRESENCE = (
    f"UPDATE presence SET {', '.join(f'{name} = ?' for name in batches.PRESENCE_COLUMNS)},"  # noqa: S608 - own names
    " boot_id = ?, instance = ? WHERE endpoint_id = ?"
)
_STATE = "UPDATE presence SET state = ? WHERE endpoint_id = ?"
_INVENTORY = (
    "INSERT INTO inventory (endpoint_id, digest, document, recorded_at) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (endpoint_id) DO UPDATE SET digest = ?2, document = ?3, recorded_at = ?4"
)
_LAST_CHANGE = "SELECT max(recorded_at) FROM inventory_change WHERE endpoint_id = ?"
_CHANGE = "INSERT INTO inventory_change (endpoint_id, digest, document, recorded_at) VALUES (?, ?, ?, ?)"
_FORGET = (
    "DELETE FROM inventory_change WHERE endpoint_id = ?1 AND recorded_at <="
    " (SELECT recorded_at FROM inventory_change WHERE endpoint_id = ?1"
    " ORDER BY recorded_at DESC LIMIT 1 OFFSET ?2)"
)
_TOLD = (
    f"UPDATE endpoint SET {', '.join(f'{name} = ?{n}' for n, name in enumerate(batches.TOLD, 1))} WHERE id = ?5"  # noqa: S608 - own names
    f" AND ({' OR '.join(f'{name} <> ?{n}' for n, name in enumerate(batches.TOLD, 1))})"
)
_SIDE = (
    "SELECT boot_id, instance, address, name, seen_at FROM presence JOIN endpoint ON id = endpoint_id"
    " WHERE endpoint_id = ?"
)
_FORK = (
    "INSERT INTO fork (endpoint_id, kind, first_at, last_at, count, displaced, arrived)"
    " VALUES (?1, ?2, ?3, ?3, 1, ?4, ?5) ON CONFLICT (endpoint_id) DO UPDATE"
    " SET kind = ?2, last_at = ?3, count = count + 1, displaced = ?4, arrived = ?5"
)
_EVENT = "INSERT INTO event (at, kind, endpoint_id, detail) VALUES (?, ?, ?, ?)"
_RESULT = {
    told: "UPDATE command SET state = ?, updated_at = ?, detail = coalesce(nullif(?, ''), detail)"  # noqa: S608 - states of the table, not input
    f" WHERE endpoint_id = ? AND id = ? AND state IN ({states})"
    for told, states in batches.RESULTS.items()
}
_WAIVE = (
    "UPDATE command SET state = 'waived', updated_at = ?, detail = ?"  # noqa: S608 - states of the table
    f" WHERE endpoint_id = ? AND rotation_id IS NOT NULL AND state IN ({batches.WAIVABLE_STATES})"
)
_RECOUNT = (
    "UPDATE presence SET commands = (SELECT count(*) FROM command"  # noqa: S608 - states of the table
    f" WHERE command.endpoint_id = presence.endpoint_id AND state IN ({batches.WAITING_STATES}))"
    " WHERE endpoint_id = ? RETURNING commands"
)


class SqliteBatches:
    """The one batch writer of an SQLite file.

    Args:
        path: the file; it must exist.
        busy_s: how long to wait for another process that holds the write lock.

    Raises:
        NotReadyError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_SECONDS) -> None:
        self._busy = busy_s
        try:
            self._conn = _connect(path)
        except sqlite3.Error as cause:
            raise not_ready(cause) from cause
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._checkpointer = Checkpointer(path)

    async def commit(self, batch: Sequence[CheckIn]) -> list[Verdict]:
        """See ``BatchStore.commit``."""
        try:
            await self._begin()
            decided, waiting = self._write(batch)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._conn.execute, "COMMIT")
        except Exception as cause:
            self._undo()
            if is_outage(cause):
                raise not_ready(cause) from cause
            raise
        self._checkpointer.wake()
        return batches.with_commands(decided.verdicts, batch, waiting) if waiting else decided.verdicts

    async def close(self) -> None:
        """See ``BatchStore.close``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._checkpointer.close)
        self._thread.shutdown()
        self._conn.close()

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._busy
        while True:
            try:
                self._conn.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as cause:
                if cause.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or loop.time() > give_up:
                    raise
            else:
                return
            await asyncio.sleep(BUSY_POLL)

    def _undo(self) -> None:
        if self._conn.in_transaction:
            self._conn.execute("ROLLBACK")

    def _write(self, batch: Sequence[CheckIn]) -> tuple[Decided, dict[str, int]]:
        decided = batches.decide(self._standings(batch), batch)
        forks = [self._fork_row(found) for found in decided.forks]
        run = self._conn.executemany
        run(
            _PRESENCE,
            [
                (
                    *batches.presence_values(standing, last),
                    _uuid(last.boot_id),
                    _uuid(last.instance),
                    _uuid(endpoint_id),
                )
                for endpoint_id, (standing, last) in decided.standings.items()
            ],
        )
        if decided.states:
            run(_STATE, [(state.value, _uuid(endpoint_id)) for endpoint_id, state in decided.states.items()])
            run(_EVENT, [_event(*batches.move_event(*move)) for move in decided.moves])
        if forks:
            run(_FORK, forks)
            run(_EVENT, [_event(*batches.fork_event(found)) for found in batches.news(decided)])
        for check_in in decided.inventories:
            self._inventory(check_in)
        return decided, self._results(decided) if decided.reporting or decided.moves else {}

    def _standings(self, batch: Sequence[CheckIn]) -> dict[str, Standing]:
        named = {_uuid(check_in.endpoint_id): check_in.endpoint_id for check_in in batch}
        wanted = list(named)
        sql, size = _standings_sql(len(wanted))
        rows = self._conn.execute(sql, wanted + wanted[-1:] * (size - len(wanted)))
        return {named[key]: Standing(_STATES[state], *rest) for key, state, *rest in rows}

    def _inventory(self, check_in: CheckIn) -> None:
        key, digest = _uuid(check_in.endpoint_id), check_in.report.inventory_digest
        (last,) = self._conn.execute(_LAST_CHANGE, (key,)).fetchone()
        recorded_at = max(check_in.seen_at * 1000, (last or 0) + 1)
        self._conn.execute(_INVENTORY, (key, digest, check_in.inventory, recorded_at))
        self._conn.execute(_CHANGE, (key, digest, check_in.inventory, recorded_at))
        self._conn.execute(_FORGET, (key, KEEP_CHANGES))
        if check_in.hostname:
            self._conn.execute(_TOLD, (*batches.told_values(check_in), key))

    def _fork_row(self, found: ForkFound) -> tuple[Any, ...]:
        key = _uuid(found.arrived.endpoint_id)
        if found.displaced is None:
            boot_id, instance, address, name, seen_at = self._conn.execute(_SIDE, (key,)).fetchone()
            displaced = batches.side(_text(boot_id), _text(instance), address, name, seen_at)
        else:
            displaced = batches.side_of(found.displaced)
        arrived = batches.json_text(batches.side_of(found.arrived))
        return key, found.kind.value, found.arrived.seen_at, batches.json_text(displaced), arrived

    def _results(self, decided: Decided) -> dict[str, int]:
        """Record results, then who is waited for no more; return how many commands wait for each of them."""
        for check_in in decided.reporting:
            key = _uuid(check_in.endpoint_id)
            for result in check_in.results:
                told = (result.state, check_in.seen_at, storable(result.detail), key, _uuid(result.id))
                self._conn.execute(_RESULT[result.state], told)
        for check_in in decided.farewells:
            self._conn.execute(_WAIVE, (check_in.seen_at, batches.REMOVED, _uuid(check_in.endpoint_id)))
        waiting: dict[str, int] = {}
        for endpoint_id in decided.with_changed_commands:
            ((waiting[endpoint_id],),) = self._conn.execute(_RECOUNT, (_uuid(endpoint_id),)).fetchall()
        return waiting


@functools.lru_cache(maxsize=16)
def _standings_sql(count: int) -> tuple[str, int]:
    """Return the statement for at least ``count`` keys, and their number: few sizes, each prepared once."""
    size = 1 << (count - 1).bit_length()
    return _STANDINGS.format(", ".join("?" * size)), size


def _uuid(text: str) -> bytes | None:
    """Return the bytes of a UUID in canonical form; ``uuid.UUID`` would take five times as long."""
    return bytes.fromhex(text.replace("-", "")) if text else None


def _text(raw: bytes | None) -> str:
    return "" if raw is None else str(uuid.UUID(bytes=raw))


def _event(at: int, kind: str, endpoint_id: str, detail: str) -> tuple[Any, ...]:
    return at, kind, _uuid(endpoint_id), detail


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"{file_uri(path)}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    for pragma in (*PRAGMAS, "PRAGMA wal_autocheckpoint=0", f"PRAGMA cache_size=-{CACHE_KIB}"):
        conn.execute(pragma)
    return conn
