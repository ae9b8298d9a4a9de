"""Authentication modes, client authentication accounts and what the directory says of them."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import BigId, JsonText, PlainText

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; what worked before, OAuth for everybody, stays open."""
    with op.batch_alter_table("access_profile") as profile:
        profile.add_column(sa.Column("mode", sa.Text, nullable=False, server_default="oauth"))
    with op.batch_alter_table("package") as package:
        package.add_column(sa.Column("account_key", PlainText, nullable=False, server_default=""))
        package.add_column(sa.Column("generation", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("enrolment_token") as token:
        token.add_column(sa.Column("left", sa.Integer, nullable=False, server_default="0"))
    op.create_index("package_account_key", "package", ["account_key"])
    modes = op.create_table(
        "authentication_mode",
        sa.Column("ring", PlainText, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("opened_by", PlainText, nullable=False),
        sa.PrimaryKeyConstraint("ring", "mode", name="authentication_mode_pkey"),
    )
    op.bulk_insert(modes, [{"ring": "", "mode": "oauth", "since": 0, "opened_by": "installation"}])
    op.create_table(
        "account",
        sa.Column("key", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("domain", PlainText, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("added_by", PlainText, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("asked_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("key", name="account_pkey"),
    )
    op.create_table(
        "credential_generation",
        sa.Column("account_key", PlainText, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("password_sealed", sa.Text, nullable=False),
        sa.Column("password_stamp", sa.BigInteger, nullable=False),
        sa.Column("seen_stamp", sa.BigInteger, nullable=False),
        sa.Column("grace_ends_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", PlainText, nullable=False),
        sa.Column("judged_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_key", "generation", name="credential_generation_pkey"),
    )
    op.create_table(
        "account_reading",
        sa.Column("account_key", PlainText, nullable=False),
        sa.Column("server", PlainText, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("account_key", "server", name="account_reading_pkey"),
    )
    op.create_table(
        "account_change",
        sa.Column("id", BigId, nullable=False),
        sa.Column("account_key", PlainText, nullable=False),
        sa.Column("server", PlainText, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="account_change_pkey"),
    )
    op.create_index("account_change_account_key_id", "account_change", ["account_key", "id"])
    op.create_table(
        "local_account",
        sa.Column("name", PlainText, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("name", name="local_account_pkey"),
    )
