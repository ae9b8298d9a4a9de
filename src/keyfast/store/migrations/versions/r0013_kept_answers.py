"""Idempotency keys of writes, with the answers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty."""
    op.create_table(
        "kept_answer",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="kept_answer_pkey"),
    )
    op.create_index("kept_answer_claimed_at", "kept_answer", ["claimed_at"])
