"""The audit trail may begin later than with its first record, and is searched by actor and action together."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index and the table, empty: every trail is whole so far."""
    op.create_index("audit_actor_action_number", "audit", ["actor", "action", "number"])
    op.create_table(
        "audit_start",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("record", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_start_pkey"),
    )
