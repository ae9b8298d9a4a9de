"""Fill a migrated database with a fleet that has checked in once: the tables check-ins meet in real life."""

import asyncio
import hashlib
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from benchmarks import fleet
from keyfast.core.endpoint import EndpointState
from keyfast.store.url import sqlite_path

CHUNK = 20_000
FIRST_SEQ = 1
PACKAGE = bytes(16)
Rows = list[tuple[Any, ...]]

COLUMNS: dict[str, Sequence[str]] = {
    "endpoint": (
        *("id", "name", "registered_at", "package_id", "enrolment_jti"),
        *("thumbprint", "public_jwk", "seal_jwk", "hardware"),
    ),
    "device_key": ("thumbprint", "endpoint_id", "status", "since"),
    "presence": (
        *("endpoint_id", "state", "seq", "head", "displaced", "inventory_digest", "seen_at", "next_due"),
        *("verified_at", "boot_id", "instance", "address", "agent_version", "profile_seq", "policy_version"),
    ),
    "inventory": ("endpoint_id", "digest", "document", "recorded_at"),
}
_JWK = '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}'


@dataclass(frozen=True, slots=True)
class Fleet:
    """What to insert.

    Attributes:
        endpoints: how many.
        now: server time, unix seconds.
        package: id of the package they all enrolled with.
        keyed: how many of them, the last ones, have ``fleet.device_key`` on record instead of a made-up one.
    """

    endpoints: int
    now: int
    package: bytes = PACKAGE
    keyed: int = 0


def fill(url: str, whole: Fleet, told: Callable[[int], None]) -> None:
    """Insert endpoints; ``told`` hears how many rows more are in.

    The database must be migrated and without endpoints. Durability is off meanwhile on SQLite.
    """
    path = sqlite_path(url)
    if path is None:
        asyncio.run(_fill_postgres(url, whole, told))
        return
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("pragma synchronous=off")
    conn.execute("pragma cache_size=-1000000")
    conn.execute("begin")
    for chunk in _chunks(whole.endpoints):
        for table, rows in _rows(chunk, whole, bytes).items():
            marks = ",".join("?" * len(COLUMNS[table]))
            conn.executemany(f"insert into {table} ({','.join(COLUMNS[table])}) values ({marks})", rows)  # noqa: S608
        told(len(chunk))
    conn.execute("commit")
    conn.execute("analyze")
    conn.execute("pragma wal_checkpoint(truncate)")
    conn.close()


async def _fill_postgres(url: str, whole: Fleet, told: Callable[[int], None]) -> None:
    conn = await asyncpg.connect(url)
    for chunk in _chunks(whole.endpoints):
        for table, rows in _rows(chunk, whole, lambda raw: uuid.UUID(bytes=raw)).items():
            await conn.copy_records_to_table(table, records=rows, columns=COLUMNS[table])
        told(len(chunk))
    await conn.execute("vacuum analyze")
    await conn.execute("checkpoint")
    await conn.close()


def _chunks(endpoints: int) -> Iterator[range]:
    for first in range(0, endpoints, CHUNK):
        yield range(first, min(first + CHUNK, endpoints))


def _rows(numbers: range, whole: Fleet, as_id: Callable[[bytes], object]) -> dict[str, Rows]:
    rows: dict[str, Rows] = {table: [] for table in COLUMNS}
    package, boot, instance = as_id(whole.package), _as(fleet.BOOT_ID, as_id), _as(fleet.INSTANCE, as_id)
    then, keyed_from = whole.now - 900, whole.endpoints - whole.keyed
    for n in numbers:
        raw = fleet.endpoint_bytes(n)
        me, text = as_id(raw), raw.hex()
        document = fleet.inventory(n)
        digest = hashlib.sha256(document).digest()
        thumbprint, jwk = _keyed(n) if n >= keyed_from else _made_up(text)
        hardware = f'{{"machine_id":"{text}"}}'
        name = f"laptop-{n:07d}.corp.example"
        rows["endpoint"].append((me, name, then, package, "made-up", thumbprint, jwk, jwk, hardware))
        rows["device_key"].append((thumbprint, me, "current", then))
        rows["presence"].append(
            (
                *(me, EndpointState.ACTIVE.value, FIRST_SEQ, digest, b"", digest, then, whole.now, then),
                *(boot, instance, "192.0.2.17", "0.1.0", 1, 1),
            )
        )
        rows["inventory"].append((me, digest, document, then * 1000))
    return rows


def _made_up(text: str) -> tuple[str, str]:
    """Thumbprint and public key of an endpoint whose access tokens name its key."""
    thumbprint = (text + text)[:43]
    return thumbprint, _JWK % (thumbprint, thumbprint)


def _keyed(n: int) -> tuple[str, str]:
    """Thumbprint and public key of an endpoint that is found by its key."""
    key = fleet.device_key(n)
    jwk = key.public_jwk()
    return key.thumbprint, _JWK % (jwk["x"], jwk["y"])


def _as(text: str, as_id: Callable[[bytes], object]) -> object:
    return as_id(uuid.UUID(text).bytes)
