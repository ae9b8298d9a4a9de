"""What is known of a package: its kind, its build, its allow-list, and which endpoints came from it."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import PlainText, UuidText

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BUILDING = sa.text("state = 'building'")


def upgrade() -> None:
    """Add columns and tables; every package that is on record was built as a bundle."""
    with op.batch_alter_table("package") as package:
        package.add_column(sa.Column("kind", sa.Text, nullable=False, server_default="bundle"))
        package.add_column(sa.Column("version", sa.Text, nullable=False, server_default=""))
        package.add_column(sa.Column("policy_version", sa.Integer, nullable=False, server_default="0"))
        package.add_column(sa.Column("product_code", sa.Text, nullable=False, server_default=""))
        package.add_column(sa.Column("state", sa.Text, nullable=False, server_default="ready"))
        package.add_column(sa.Column("built_at", sa.BigInteger, nullable=False, server_default="0"))
        package.add_column(sa.Column("size", sa.BigInteger, nullable=False, server_default="0"))
        package.add_column(sa.Column("serials", sa.Integer, nullable=False, server_default="0"))
        package.add_column(sa.Column("reason", PlainText, nullable=False, server_default=""))
    with op.batch_alter_table("enrolment_token") as token:
        token.add_column(sa.Column("used_at", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE package SET built_at = created_at")
    op.execute("UPDATE package SET state = 'revoked' WHERE revoked_at IS NOT NULL")
    op.create_index("package_sha256", "package", ["sha256"])
    op.create_index("package_building", "package", ["state"], sqlite_where=_BUILDING, postgresql_where=_BUILDING)
    op.create_table(
        "package_serial",
        sa.Column("package_id", UuidText, nullable=False),
        sa.Column("serial", PlainText, nullable=False),
        sa.PrimaryKeyConstraint("package_id", "serial", name="package_serial_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index("endpoint_package_id_registered_at_id", "endpoint", ["package_id", "registered_at", "id"])
