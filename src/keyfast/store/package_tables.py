"""Tables of packages and of the tokens with which what they install enrols. Times are unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from keyfast.store.metadata import metadata
from keyfast.store.types import PlainText, UuidText

package = Table(
    "package",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", PlainText, nullable=False),
    Column("mode", Text, nullable=False),
    Column("ring", PlainText, nullable=False),
    Column("admission", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("revoked_at", BigInteger),
    Column("account_key", PlainText, nullable=False, server_default=""),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("kind", Text, nullable=False, server_default="bundle"),
    Column("version", Text, nullable=False, server_default=""),
    Column("policy_version", Integer, nullable=False, server_default="0"),
    Column("product_code", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False, server_default="ready"),
    Column("built_at", BigInteger, nullable=False, server_default="0"),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("serials", Integer, nullable=False, server_default="0"),
    Column("reason", PlainText, nullable=False, server_default=""),
    Index(None, "created_at", "id"),
    Index(None, "account_key"),
    Index(None, "sha256"),
    # What a crash left behind is found without reading the rest.
    Index(
        "package_building",
        "state",
        sqlite_where=text("state = 'building'"),
        postgresql_where=text("state = 'building'"),
    ),
)

# Allow-list of a package: hardware serial numbers and SMBIOS UUIDs, as ``core.serials.plain`` spells them.
package_serial = Table(
    "package_serial",
    metadata,
    Column("package_id", UuidText, primary_key=True),
    Column("serial", PlainText, primary_key=True),
    sqlite_with_rowid=False,
)

enrolment_token = Table(
    "enrolment_token",
    metadata,
    Column("jti", Text, primary_key=True),
    Column("package_id", UuidText, nullable=False, index=True),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False, server_default="0"),
    Column("revoked_at", BigInteger),
    Column("left", Integer, nullable=False, server_default="0"),
    Column("used_at", BigInteger, nullable=False, server_default="0"),
)
