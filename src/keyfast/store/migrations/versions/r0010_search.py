"""Endpoints are found by their account, and by the serial number or SMBIOS UUID of the computer."""

import json

import sqlalchemy as sa
from alembic import op

from keyfast.core.serials import shown
from keyfast.store.types import PlainText, UuidText

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PART = 1000


def upgrade() -> None:
    """Add index and table, and put on record what endpoints told when they enrolled."""
    op.create_index("endpoint_account_key_name_id", "endpoint", ["account_key", "name", "id"])
    table = op.create_table(
        "endpoint_serial",
        sa.Column("serial", PlainText, nullable=False),
        sa.Column("endpoint_id", UuidText, nullable=False),
        sa.PrimaryKeyConstraint("serial", "endpoint_id", name="endpoint_serial_pkey"),
        sqlite_with_rowid=False,
    )
    endpoint = sa.table("endpoint", sa.column("id", UuidText), sa.column("hardware", sa.Text))
    conn = op.get_bind()
    page = sa.select(endpoint.c.id, endpoint.c.hardware).order_by(endpoint.c.id).limit(_PART)
    rows = conn.execute(page).all()
    while rows:
        told = [
            {"serial": serial, "endpoint_id": number}
            for number, hardware in rows
            for serial in _serials(json.loads(hardware))
        ]
        if told:
            conn.execute(table.insert(), told)
        rows = conn.execute(page.where(endpoint.c.id > rows[-1].id)).all()


def _serials(hardware: dict[str, str]) -> set[str]:
    return set(shown(hardware.get("serial", ""), hardware.get("smbios_uuid", "")))
