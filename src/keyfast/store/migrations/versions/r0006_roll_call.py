"""The roll call and what it counted, incidents, and the traffic of each minute."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import JsonText, PlainText, UuidText

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NOT_ENDED = sa.text("ended_at IS NULL")


def upgrade() -> None:
    """Add the tables; the first roll call fills them."""
    op.create_table(
        "roll_call",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("holder", PlainText, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="roll_call_pkey"),
    )
    op.create_table(
        "roll_group",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("endpoints", sa.BigInteger, nullable=False),
        sa.Column("silent", sa.BigInteger, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.Column("counted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="roll_group_pkey"),
    )
    op.create_table(
        "incident",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="incident_pkey"),
    )
    op.create_index("incident_opened_at_id", "incident", ["opened_at", "id"])
    op.create_index(
        "incident_not_ended", "incident", ["opened_at"], sqlite_where=_NOT_ENDED, postgresql_where=_NOT_ENDED
    )
    op.create_table(
        "traffic",
        sa.Column("minute", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("node", PlainText, nullable=False),
        sa.Column("check_ins", sa.BigInteger, nullable=False),
        sa.Column("refusals", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("minute", "node", name="traffic_pkey"),
    )
