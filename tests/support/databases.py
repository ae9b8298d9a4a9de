"""Fresh migrated databases of either kind, and builders of what goes into them."""

import functools
import shutil
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.postgres import shared_cluster
from tests.support.shared import UNTIL_THE_SESSION_ENDS

from keyfast.core.check_in import Grant, Report
from keyfast.store.endpoints import EndpointRow
from keyfast.store.schema import upgrade
from keyfast.store.writer import CheckIn

KINDS = ("sqlite", "postgres")
NOW = 1_800_000_000


def new_database(kind: str, folder: Path) -> str:
    """Return the URL of a migrated database. Not to be called on a running loop."""
    if kind == "postgres":
        return shared_cluster().create_database()
    path = folder / f"{uuid.uuid4().hex}.db"
    shutil.copyfile(_sqlite_template(), path)
    return f"sqlite:///{path}"


@functools.cache
def _sqlite_template() -> Path:
    folder = UNTIL_THE_SESSION_ENDS.enter_context(TemporaryDirectory(prefix="kf-template-"))
    path = Path(folder) / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


def some_id() -> str:
    return str(uuid.uuid4())


def digest(text: str) -> bytes:
    """32 bytes that are easy to read in a failure."""
    return text.encode().ljust(32, b".")


def endpoint_row(endpoint_id: str = "", name: str = "host") -> EndpointRow:
    endpoint_id = endpoint_id or some_id()
    return EndpointRow(
        id=endpoint_id,
        name=name,
        registered_at=NOW,
        package_id=some_id(),
        enrolment_jti="jti",
        thumbprint=f"thumbprint of {endpoint_id}",
        public_jwk={"kty": "EC"},
        seal_jwk={"kty": "EC"},
        hardware={"machine_id": "m"},
    )


def check_in(
    endpoint_id: str,
    seq: int,
    *,
    acked: bytes = b"",
    grant: int | None = None,
    inventory: bytes | None = None,
    known: bytes = b"",
    token_issued_at: int = NOW,
    **changes: object,
) -> CheckIn:
    """Build a check-in with number ``seq``; its body digest is made of the number."""
    fields: dict[str, object] = {
        "seen_at": NOW + seq,
        "next_due": NOW + seq + 900,
        "verified_at": NOW + seq - 5,
        "boot_id": "11111111-1111-4111-8111-111111111111",
        "instance": "22222222-2222-4222-8222-222222222222",
        "address": "192.0.2.7",
        "agent_version": "0.1",
        "profile_seq": 1,
        "credential_generation": 2,
        "policy_version": 3,
        "clock_offset": -4,
        "failures": 0,
        "last_refusal": "",
        "hostname": "",
    }
    report = Report(
        seq=seq,
        digest=digest(f"body {seq}"),
        acked=acked,
        inventory_digest=digest(inventory.decode()) if inventory is not None else known,
        inventory_enclosed=inventory is not None,
        token_issued_at=token_issued_at,
        grant=None if grant is None else Grant(grant),
    )
    return CheckIn(endpoint_id=endpoint_id, report=report, inventory=inventory, **(fields | changes))


async def in_write(database, work, *args, **named):
    """Do something with a connection that may write; then commit."""
    async with database.write() as conn:
        return await work(conn, *args, **named)


async def in_read(database, work, *args, **named):
    """Do something with a connection that reads."""
    async with database.read() as conn:
        return await work(conn, *args, **named)
