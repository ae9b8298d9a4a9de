"""Tables of rotations and of recovery windows. Times are unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from keyfast.store.metadata import metadata
from keyfast.store.types import JsonText, PlainText, UuidText

rotation = Table(
    "rotation",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("ring", PlainText, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", PlainText, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("document", JsonText, nullable=False),
    Index(None, "created_at", "id"),
)

# What a rotation has decided to do: written with the decision, marked when done, done again after a crash.
rotation_effect = Table(
    "rotation_effect",
    metadata,
    Column("rotation_id", UuidText, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("document", JsonText, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
)

# Times in which Anonymous is open, for recovery only.
recovery_window = Table(
    "recovery_window",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("opened_by", PlainText, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("closed_by", PlainText, nullable=False, server_default=""),
    Column("document", JsonText, nullable=False),
    Index(None, "opened_at", "id"),
)

# Who a recovery window is to bring back, and how far each has come.
recovery_window_endpoint = Table(
    "recovery_window_endpoint",
    metadata,
    Column("window_id", UuidText, primary_key=True),
    Column("endpoint_id", UuidText, primary_key=True),
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Index(None, "window_id", "state"),
)
