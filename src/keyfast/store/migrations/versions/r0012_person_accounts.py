"""People who come by an account of the directory, and wrong passwords that the directory was shown."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import PlainText, UuidText

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables; everybody who is on record was added here."""
    op.create_table(
        "person_account",
        sa.Column("sid", sa.Text, nullable=False),
        sa.Column("person_id", UuidText, nullable=False),
        sa.Column("group_name", PlainText, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sid", name="person_account_pkey"),
    )
    op.create_index("person_account_person_id", "person_account", ["person_id"], unique=True)
    op.create_table(
        "directory_try",
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="directory_try_pkey"),
    )
    op.create_index("directory_try_last_at", "directory_try", ["last_at"])
