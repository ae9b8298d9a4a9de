"""All tables. Times are unix seconds unless a comment says otherwise.

Everything of one endpoint is found by its id, and nothing refers across endpoints, so that the tables
can be distributed by endpoint id. A check-in writes ``presence`` alone, and no index holds a column
that a check-in changes.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

from keyfast.store.audit_tables import audit, audit_head, audit_start, outbox
from keyfast.store.incident_tables import incident, roll_call, roll_group, traffic
from keyfast.store.metadata import metadata
from keyfast.store.package_tables import enrolment_token, package, package_serial
from keyfast.store.people_tables import (
    api_token,
    approval,
    directory_try,
    kept_answer,
    passkey,
    person,
    person_account,
    person_session,
    saved_search,
    sign_in_failure,
)
from keyfast.store.rotation_tables import recovery_window, recovery_window_endpoint, rotation, rotation_effect
from keyfast.store.types import BigId, JsonText, PlainText, UuidText

__all__ = (
    "api_token",
    "approval",
    "audit",
    "audit_head",
    "audit_start",
    "directory_try",
    "enrolment_token",
    "incident",
    "kept_answer",
    "metadata",
    "outbox",
    "package",
    "package_serial",
    "passkey",
    "person",
    "person_account",
    "person_session",
    "recovery_window",
    "recovery_window_endpoint",
    "roll_call",
    "roll_group",
    "rotation",
    "rotation_effect",
    "saved_search",
    "sign_in_failure",
    "traffic",
)

installation = Table(
    "installation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("kek_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    # Since when this server is known to have gone back in time (restored backup); 0 once an operator ended that.
    Column("restored_at", BigInteger, nullable=False, server_default="0"),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("public_jwk", JsonText, nullable=False),
    Column("private_sealed", Text),
    Column("mac_sealed", Text),
    Column("delegation", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

root_change = Table(
    "root_change",
    metadata,
    Column("seq", BigId, primary_key=True),
    Column("statement", Text, nullable=False),
)

policy = Table(
    "policy",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

access_profile = Table(
    "access_profile",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("statement", Text, nullable=False),
    Column("mode", Text, nullable=False, server_default="oauth"),
    # 0 while it belongs to a rotation that has not made it the default of its mode.
    Column("in_force", Integer, nullable=False, server_default="1"),
)

# Which authentication modes are open; rows of a ring replace those of the ring "" (all others).
authentication_mode = Table(
    "authentication_mode",
    metadata,
    Column("ring", PlainText, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("opened_by", PlainText, nullable=False),
)

# A client authentication account: DOMAIN\\name, domain in upper and name in lower case.
account = Table(
    "account",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False),
    Column("domain", PlainText, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("added_by", PlainText, nullable=False),
    Column("read_at", BigInteger, nullable=False, server_default="0"),
    Column("asked_at", BigInteger, nullable=False, server_default="0"),
)

credential_generation = Table(
    "credential_generation",
    metadata,
    Column("account_key", PlainText, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("password_sealed", Text, nullable=False),
    Column("password_stamp", BigInteger, nullable=False),
    Column("seen_stamp", BigInteger, nullable=False),
    Column("grace_ends_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", PlainText, nullable=False),
    Column("judged_at", BigInteger, nullable=False),
)

# The newest reading of each account by each domain controller, and the changes before it.
account_reading = Table(
    "account_reading",
    metadata,
    Column("account_key", PlainText, primary_key=True),
    Column("server", PlainText, primary_key=True),
    Column("read_at", BigInteger, nullable=False),
    Column("document", JsonText, nullable=False),
)

account_change = Table(
    "account_change",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("account_key", PlainText, nullable=False),
    Column("server", PlainText, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    Column("document", JsonText, nullable=False),
    Index(None, "account_key", "id"),
)

# Accounts of the embedded directory, for sites without Active Directory.
local_account = Table(
    "local_account",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("document", JsonText, nullable=False),
)

# Cold: written at registration.
endpoint = Table(
    "endpoint",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("name", PlainText, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("package_id", UuidText, nullable=False),
    Column("enrolment_jti", Text, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("public_jwk", JsonText, nullable=False),
    Column("seal_jwk", JsonText, nullable=False),
    Column("hardware", JsonText, nullable=False),
    Column("ring", PlainText, nullable=False, server_default=""),
    # The account and generation that it last proved to use; at first its package's. Empty in OAuth mode.
    Column("account_key", PlainText, nullable=False, server_default=""),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("mode", Text, nullable=False, server_default="oauth"),
    # What its last inventory said: whether its disks are protected (core.protection), and who uses it.
    Column("disks", Text, nullable=False, server_default="unknown"),
    Column("user_name", PlainText, nullable=False, server_default=""),
    Column("user_key", PlainText, nullable=False, server_default=""),
    Index(None, "name", "id"),
    Index(None, "ring", "name", "id"),
    Index(None, "account_key", "name", "id"),
    Index(None, "package_id", "name", "id"),
    Index(None, "package_id", "registered_at", "id"),
    Index(None, "disks", "name", "id"),
    Index(None, "user_key", "name", "id"),
)

# By which names the computer of an endpoint is found, as ``core.serials.plain`` spells them.
endpoint_serial = Table(
    "endpoint_serial",
    metadata,
    Column("serial", PlainText, primary_key=True),
    Column("endpoint_id", UuidText, primary_key=True),
    sqlite_with_rowid=False,
)

# Endpoints that came to a credential by a command; those that came by a package are counted with its token.
credential_use = Table(
    "credential_use",
    metadata,
    Column("account_key", PlainText, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("endpoints", BigInteger, nullable=False),
)

device_key = Table(
    "device_key",
    metadata,
    Column("thumbprint", Text, primary_key=True),
    Column("endpoint_id", UuidText, nullable=False, index=True),
    Column("status", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Hot: one row is written by every check-in. Room is left on each PostgreSQL page so that the new row
# version stays on it and no index is touched (a HOT update).
presence = Table(
    "presence",
    metadata,
    Column("endpoint_id", UuidText, primary_key=True),
    Column("state", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("head", LargeBinary, nullable=False),
    Column("displaced", LargeBinary, nullable=False),
    Column("inventory_digest", LargeBinary, nullable=False),
    Column("tokens_from", BigInteger, nullable=False, server_default="0"),
    Column("commands", Integer, nullable=False, server_default="0"),
    Column("seen_at", BigInteger, nullable=False, server_default="0"),
    Column("next_due", BigInteger, nullable=False, server_default="0"),
    Column("verified_at", BigInteger, nullable=False, server_default="0"),
    Column("boot_id", UuidText),
    Column("instance", UuidText),
    Column("address", Text, nullable=False, server_default=""),
    Column("agent_version", Text, nullable=False, server_default=""),
    Column("profile_seq", Integer, nullable=False, server_default="0"),
    Column("credential_generation", Integer, nullable=False, server_default="0"),
    Column("policy_version", Integer, nullable=False, server_default="0"),
    Column("clock_offset", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_refusal", Text, nullable=False, server_default=""),
    # In which hours and days it checked in (core.attendance).
    Column("heard_hours", BigInteger, nullable=False, server_default="0"),
    Column("heard_days", BigInteger, nullable=False, server_default="0"),
    # Who waits for a person's decision is found without reading the rest.
    Index(
        "presence_not_active",
        "state",
        sqlite_where=text("state <> 'active'"),
        postgresql_where=text("state <> 'active'"),
    ),
    postgresql_with={"fillfactor": 70},
)

inventory = Table(
    "inventory",
    metadata,
    Column("endpoint_id", UuidText, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),  # unix milliseconds
)

inventory_change = Table(
    "inventory_change",
    metadata,
    Column("endpoint_id", UuidText, primary_key=True),
    Column("recorded_at", BigInteger, primary_key=True, autoincrement=False),  # unix milliseconds
    Column("digest", LargeBinary, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

fork = Table(
    "fork",
    metadata,
    Column("endpoint_id", UuidText, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("displaced", JsonText, nullable=False),
    Column("arrived", JsonText, nullable=False),
)

command = Table(
    "command",
    metadata,
    Column("endpoint_id", UuidText, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", UuidText, nullable=False),
    Column("action", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("detail", PlainText, nullable=False, server_default=""),
    # Of a rotation: which, in which of its waves. A recovery's changes have neither.
    Column("rotation_id", UuidText),
    Column("wave", Integer, nullable=False, server_default="0"),
    # Progress of a rotation is counted on this index alone.
    Index(
        "command_rotation",
        "rotation_id",
        "wave",
        "state",
        sqlite_where=text("rotation_id IS NOT NULL"),
        postgresql_where=text("rotation_id IS NOT NULL"),
    ),
)

# The processes that endpoints speak to, and what each says that it accepts.
node = Table(
    "node",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("accepts", JsonText, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("endpoint_id", UuidText),
    Column("detail", JsonText, nullable=False),
    Index(None, "endpoint_id", "id"),
    sqlite_autoincrement=True,
)
