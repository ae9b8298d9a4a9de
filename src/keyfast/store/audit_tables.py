"""Tables of the audit trail, and of what people are told. Times are unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from keyfast.store.metadata import metadata
from keyfast.store.types import BigId, JsonText, PlainText

# Who did what, one record chained to the one before; the columns are the members of ``core.audit.AuditRecord``.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("role", PlainText, nullable=False),
    Column("via", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject", PlainText, nullable=False),
    Column("detail", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("request", PlainText, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "actor", "number"),
    Index(None, "actor", "action", "number"),
    Index(None, "action", "number"),
    Index(None, "subject", "number"),
)

# Its end; one row, held by whoever appends.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

# Where it begins, if its front was removed: after the record of that number and hash; ``record`` tells of it.
# One row, held by whoever shortens the trail. Sealed under the KEK, as seals are.
audit_start = Table(
    "audit_start",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("record", BigInteger, nullable=False),
    Column("sealed", Text, nullable=False),
)

# Messages to people: written with their event, delivered afterwards.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", PlainText, nullable=False),
    Column("title", PlainText, nullable=False),
    Column("detail", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("reached", JsonText, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("trouble", PlainText, nullable=False),
    Index(None, "key", "at"),
    Index(None, "state", "due_at"),
    sqlite_autoincrement=True,
)
