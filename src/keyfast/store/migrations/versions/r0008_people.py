"""People who may sign in, their sessions and API tokens, sign-ins that failed, acts that wait for a second person."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import JsonText, PlainText, UuidText

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables; nobody is on record yet."""
    op.create_table(
        "person",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("rings", JsonText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", PlainText, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False, server_default=""),
        sa.Column("code_sealed", sa.Text, nullable=False, server_default=""),
        sa.Column("code_step", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("subject", PlainText, nullable=False, server_default=""),
        sa.Column("invitation", sa.LargeBinary),
        sa.Column("invited_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("signed_in_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="person_pkey"),
    )
    op.create_index("person_name", "person", ["name"], unique=True)
    op.create_index("person_invitation", "person", ["invitation"])
    op.create_table(
        "person_session",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("id", UuidText, nullable=False),
        sa.Column("person_id", UuidText, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("proved_at", sa.BigInteger, nullable=False),
        sa.Column("address", PlainText, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="person_session_pkey"),
    )
    op.create_table(
        "api_token",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("id", UuidText, nullable=False),
        sa.Column("person_id", UuidText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("scopes", JsonText, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="api_token_pkey"),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="sign_in_failure_pkey"),
    )
    op.create_table(
        "approval",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", PlainText, nullable=False),
        sa.Column("permission", sa.Text, nullable=False),
        sa.Column("what", PlainText, nullable=False),
        sa.Column("reason", PlainText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("decided_by", PlainText, nullable=False, server_default=""),
        sa.Column("digest_sealed", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="approval_pkey"),
    )
    op.create_table(
        "passkey",
        sa.Column("credential", sa.LargeBinary, nullable=False),
        sa.Column("id", UuidText, nullable=False),
        sa.Column("person_id", UuidText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("uses", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("credential", name="passkey_pkey"),
    )
    op.create_index("approval_asked_at_id", "approval", ["asked_at", "id"])
    op.create_index("person_session_begun_at_id", "person_session", ["begun_at", "id"])
    for table, column in (
        ("person_session", "id"),
        ("person_session", "person_id"),
        ("api_token", "id"),
        ("api_token", "person_id"),
        ("passkey", "id"),
        ("passkey", "person_id"),
        ("sign_in_failure", "last_at"),
    ):
        op.create_index(f"{table}_{column}", table, [column])
    op.create_index("endpoint_ring_name_id", "endpoint", ["ring", "name", "id"])
