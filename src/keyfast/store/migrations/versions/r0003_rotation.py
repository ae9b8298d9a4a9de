"""Rotations, recovery windows, and what each endpoint authenticates with."""

import sqlalchemy as sa
from alembic import op

from keyfast.store.types import JsonText, PlainText, UuidText

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_A_ROTATION = sa.text("rotation_id IS NOT NULL")


def upgrade() -> None:
    """Add the tables; what an endpoint authenticates with is at first what its package embeds."""
    with op.batch_alter_table("installation") as installation:
        installation.add_column(sa.Column("restored_at", sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("access_profile") as profile:
        profile.add_column(sa.Column("in_force", sa.Integer, nullable=False, server_default="1"))
    with op.batch_alter_table("endpoint") as endpoint:
        endpoint.add_column(sa.Column("ring", PlainText, nullable=False, server_default=""))
        endpoint.add_column(sa.Column("account_key", PlainText, nullable=False, server_default=""))
        endpoint.add_column(sa.Column("generation", sa.Integer, nullable=False, server_default="0"))
        endpoint.add_column(sa.Column("mode", sa.Text, nullable=False, server_default="oauth"))
    for column, empty in (("ring", "''"), ("account_key", "''"), ("generation", "0"), ("mode", "'oauth'")):
        found = f"SELECT {column} FROM package WHERE package.id = endpoint.package_id"  # noqa: S608 - own names
        op.execute(f"UPDATE endpoint SET {column} = coalesce(({found}), {empty})")  # noqa: S608 - own names
    with op.batch_alter_table("command") as command:
        command.add_column(sa.Column("rotation_id", UuidText))
        command.add_column(sa.Column("wave", sa.Integer, nullable=False, server_default="0"))
    op.create_index(
        "command_rotation",
        "command",
        ["rotation_id", "wave", "state"],
        sqlite_where=_OF_A_ROTATION,
        postgresql_where=_OF_A_ROTATION,
    )
    op.create_table(
        "credential_use",
        sa.Column("account_key", PlainText, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("endpoints", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_key", "generation", name="credential_use_pkey"),
    )
    _create_rotation()
    _create_recovery_window()


def _create_rotation() -> None:
    op.create_table(
        "rotation",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("ring", PlainText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", PlainText, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="rotation_pkey"),
    )
    op.create_index("rotation_created_at_id", "rotation", ["created_at", "id"])
    op.create_table(
        "rotation_effect",
        sa.Column("rotation_id", UuidText, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("document", JsonText, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("rotation_id", "number", name="rotation_effect_pkey"),
    )


def _create_recovery_window() -> None:
    op.create_table(
        "recovery_window",
        sa.Column("id", UuidText, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("opened_by", PlainText, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("closed_by", PlainText, nullable=False, server_default=""),
        sa.Column("document", JsonText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="recovery_window_pkey"),
    )
    op.create_index("recovery_window_opened_at_id", "recovery_window", ["opened_at", "id"])
    op.create_table(
        "recovery_window_endpoint",
        sa.Column("window_id", UuidText, nullable=False),
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("window_id", "endpoint_id", name="recovery_window_endpoint_pkey"),
    )
    op.create_index("recovery_window_endpoint_window_id_state", "recovery_window_endpoint", ["window_id", "state"])
