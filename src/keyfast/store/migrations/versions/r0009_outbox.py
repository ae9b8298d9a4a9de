"""Messages to people."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import BigId, JsonText, PlainText

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the outbox, empty."""
    op.create_table(
        "outbox",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", PlainText, nullable=False),
        sa.Column("title", PlainText, nullable=False),
        sa.Column("detail", JsonText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reached", JsonText, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("trouble", PlainText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="outbox_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_key_at", "outbox", ["key", "at"])
    op.create_index("outbox_state_due_at", "outbox", ["state", "due_at"])
