"""The first schema."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import BigId, JsonText, PlainText, UuidText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOT_ACTIVE = sa.text("state <> 'active'")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "installation",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("kek_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="installation_pkey"),
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("public_jwk", JsonText, nullable=False),
        sa.Column("private_sealed", sa.Text),
        sa.Column("mac_sealed", sa.Text),
        sa.Column("delegation", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kid", name="signing_key_pkey"),
    )
    op.create_table(
        "root_change",
        sa.Column("seq", BigId, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="root_change_pkey"),
    )
    op.create_table(
        "policy",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version", name="policy_pkey"),
    )
    op.create_table(
        "access_profile",
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="access_profile_pkey"),
    )
    op.create_table(
        "package",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", PlainText, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("ring", PlainText, nullable=False),
        sa.Column("admission", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="package_pkey"),
    )
    op.create_index("package_created_at_id", "package", ["created_at", "id"])
    op.create_table(
        "enrolment_token",
        sa.Column("jti", sa.Text, nullable=False),
        sa.Column("package_id", UuidText, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("jti", name="enrolment_token_pkey"),
    )
    op.create_index("enrolment_token_package_id", "enrolment_token", ["package_id"])
    op.create_table(
        "endpoint",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("package_id", UuidText, nullable=False),
        sa.Column("enrolment_jti", sa.Text, nullable=False),
        sa.Column("thumbprint", sa.Text, nullable=False),
        sa.Column("public_jwk", JsonText, nullable=False),
        sa.Column("seal_jwk", JsonText, nullable=False),
        sa.Column("hardware", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="endpoint_pkey"),
    )
    op.create_index("endpoint_name_id", "endpoint", ["name", "id"])
    op.create_table(
        "device_key",
        sa.Column("thumbprint", sa.Text, nullable=False),
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("thumbprint", name="device_key_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index("device_key_endpoint_id", "device_key", ["endpoint_id"])
    op.create_table(
        "presence",
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("displaced", sa.LargeBinary, nullable=False),
        sa.Column("inventory_digest", sa.LargeBinary, nullable=False),
        sa.Column("tokens_from", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("commands", sa.Integer, nullable=False, server_default="0"),
        sa.Column("seen_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("next_due", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("verified_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("boot_id", UuidText),
        sa.Column("instance", UuidText),
        sa.Column("address", sa.Text, nullable=False, server_default=""),
        sa.Column("agent_version", sa.Text, nullable=False, server_default=""),
        sa.Column("profile_seq", sa.Integer, nullable=False, server_default="0"),
        sa.Column("credential_generation", sa.Integer, nullable=False, server_default="0"),
        sa.Column("policy_version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("clock_offset", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_refusal", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("endpoint_id", name="presence_pkey"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("presence_not_active", "presence", ["state"], sqlite_where=NOT_ACTIVE, postgresql_where=NOT_ACTIVE)
    op.create_table(
        "inventory",
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", name="inventory_pkey"),
    )
    op.create_table(
        "inventory_change",
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", "recorded_at", name="inventory_change_pkey"),
    )
    op.create_table(
        "fork",
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("displaced", JsonText, nullable=False),
        sa.Column("arrived", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", name="fork_pkey"),
    )
    op.create_table(
        "command",
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("id", UuidText, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("detail", PlainText, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("endpoint_id", "seq", name="command_pkey"),
    )
    op.create_table(
        "event",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("endpoint_id", UuidText),
        sa.Column("detail", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="event_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index("event_endpoint_id_id", "event", ["endpoint_id", "id"])
