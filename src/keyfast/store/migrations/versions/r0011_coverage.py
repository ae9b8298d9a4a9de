"""Endpoints are found by disks, user, package and searches that are kept; check-ins mark their hour and day."""

import json

import sqlalchemy as sa
from alembic import op

from keyfast.core.protection import together
from keyfast.store.types import PlainText, UuidText

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PART = 1000


def upgrade() -> None:
    """Add columns and indexes, and put on record what inventories said of disks until now."""
    op.add_column("endpoint", sa.Column("disks", sa.Text, nullable=False, server_default="unknown"))
    op.add_column("endpoint", sa.Column("user_name", PlainText, nullable=False, server_default=""))
    op.add_column("endpoint", sa.Column("user_key", PlainText, nullable=False, server_default=""))
    op.add_column("presence", sa.Column("heard_hours", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("presence", sa.Column("heard_days", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("roll_call", sa.Column("disks", sa.Text, nullable=False, server_default="{}"))
    op.create_table(
        "saved_search",
        sa.Column("owner", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("saved_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="saved_search_pkey"),
    )
    _remember_disks(op.get_bind())
    for column in ("package_id", "disks", "user_key"):
        op.create_index(f"endpoint_{column}_name_id", "endpoint", [column, "name", "id"])


def _remember_disks(conn: sa.Connection) -> None:
    inventory = sa.table("inventory", sa.column("endpoint_id", UuidText), sa.column("document", sa.LargeBinary))
    endpoint = sa.table("endpoint", sa.column("id", UuidText), sa.column("disks", sa.Text))
    noted = sa.update(endpoint).where(endpoint.c.id == sa.bindparam("number")).values(disks=sa.bindparam("word"))
    page = sa.select(inventory).order_by(inventory.c.endpoint_id).limit(_PART)
    rows = conn.execute(page).all()
    while rows:
        conn.execute(noted, [{"number": number, "word": _disks(document)} for number, document in rows])
        rows = conn.execute(page.where(inventory.c.endpoint_id > rows[-1].endpoint_id)).all()


def _disks(document: bytes) -> str:
    volumes = json.loads(document).get("volumes", [])
    return together([volume["protection"] for volume in volumes if volume.get("role") != "boot"]).value
