"""Nodes: the processes that endpoints speak to."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import JsonText, PlainText

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; each node that serves writes its row before it does."""
    op.create_table(
        "node",
        sa.Column("name", PlainText, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("accepts", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("name", name="node_pkey"),
    )
