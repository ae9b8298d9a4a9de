"""Fill a migrated database with a fleet that has checked in once: the tables check-ins meet in real life."""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import bulk, fleet
from benchmarks.fleet import ORDINARY, Trait

CHUNK = 20_000
FIRST_SEQ = 1
PACKAGE = bytes(16)
Rows = list[tuple[Any, ...]]

COLUMNS: dict[str, Sequence[str]] = {
    "endpoint": (
        *("id", "name", "registered_at", "package_id", "enrolment_jti"),
        *("thumbprint", "public_jwk", "seal_jwk", "hardware", "ring", "account_key", "generation", "mode"),
        *("disks", "user_name", "user_key"),
    ),
    "endpoint_serial": ("serial", "endpoint_id"),
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
        package: id of the package they all enrolled with, unless ``trait`` names another.
        keyed: how many of them, the last ones, have ``fleet.device_key`` on record instead of a made-up one.
        trait: in what an endpoint is unlike the others, by its number.
    """

    endpoints: int
    now: int
    package: bytes = PACKAGE
    keyed: int = 0
    trait: Callable[[int], Trait] = lambda _: ORDINARY


def fill(url: str, whole: Fleet, told: Callable[[int], None]) -> None:
    """Insert endpoints; ``told`` hears how many more are in.

    The database must be migrated and without endpoints.
    """
    with bulk.opened(url) as into:
        put(into, whole, told)


def put(into: bulk.Bulk, whole: Fleet, told: Callable[[int], None]) -> None:
    """Insert endpoints into a database that is open for rows."""
    for chunk in _chunks(whole.endpoints):
        for table, rows in _rows(chunk, whole, into.as_id).items():
            into.put(table, COLUMNS[table], rows)
        told(len(chunk))


def _chunks(endpoints: int) -> Iterator[range]:
    for first in range(0, endpoints, CHUNK):
        yield range(first, min(first + CHUNK, endpoints))


def _rows(numbers: range, whole: Fleet, as_id: Callable[[bytes], object]) -> dict[str, Rows]:
    rows: dict[str, Rows] = {table: [] for table in COLUMNS}
    boot, instance = _as(fleet.BOOT_ID, as_id), _as(fleet.INSTANCE, as_id)
    then, keyed_from = whole.now - 900, whole.endpoints - whole.keyed
    for n in numbers:
        raw, trait = fleet.endpoint_bytes(n), whole.trait(n)
        me, text = as_id(raw), raw.hex()
        document = fleet.inventory(n)
        digest = hashlib.sha256(document).digest()
        thumbprint, jwk = _keyed(n) if n >= keyed_from else _made_up(text)
        rows["endpoint"].append(
            (
                *(me, fleet.name(n), then, as_id(trait.package or whole.package), "made-up"),
                *(thumbprint, jwk, jwk, f'{{"machine_id":"{text}"}}'),
                *(trait.ring, trait.account, trait.generation, trait.mode),
                *(fleet.disks(n).value, f"CORP\\{fleet.user(n)}", fleet.user(n)),
            )
        )
        if trait.serial:
            rows["endpoint_serial"].append((trait.serial, me))
        rows["device_key"].append((thumbprint, me, "current", then))
        seen_at = then - trait.silent_s
        rows["presence"].append(
            (
                *(me, trait.state, FIRST_SEQ, digest, b"", digest, seen_at, seen_at + 900, seen_at),
                *(boot, instance, trait.address, "0.1.0", 1, 1),
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
