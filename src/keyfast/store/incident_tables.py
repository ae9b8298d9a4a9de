"""Tables of roll calls, the incidents that they open, and the counts of each minute. Times are unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from keyfast.store.metadata import metadata
from keyfast.store.types import JsonText, PlainText, UuidText

# The roll call: whose turn it is, and what the last one found. One row.
roll_call = Table(
    "roll_call",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", PlainText, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    # How many endpoints there are by what their disks are (core.protection).
    Column("disks", JsonText, nullable=False, server_default="{}"),
)

# What it counted, by what endpoints have in common; replaced by each roll call.
roll_group = Table(
    "roll_group",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", PlainText, primary_key=True),
    Column("endpoints", BigInteger, nullable=False),
    Column("silent", BigInteger, nullable=False),
    Column("document", JsonText, nullable=False),
    Column("counted_at", BigInteger, nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("document", JsonText, nullable=False),
    Index(None, "opened_at", "id"),
    Index(
        "incident_not_ended",
        "opened_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# Check-ins and refusals of each minute, as each node counted them.
traffic = Table(
    "traffic",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("node", PlainText, primary_key=True),
    Column("check_ins", BigInteger, nullable=False),
    Column("refusals", JsonText, nullable=False),
)
