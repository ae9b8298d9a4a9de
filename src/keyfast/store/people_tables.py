"""Tables of people, how they sign in, and what their programs use. Times are unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from keyfast.store.metadata import metadata
from keyfast.store.types import JsonText, PlainText, UuidText

# People who may sign in.
person = Table(
    "person",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("name", PlainText, nullable=False),
    Column("role", Text, nullable=False),
    Column("rings", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", PlainText, nullable=False),
    Column("password_hash", Text, nullable=False, server_default=""),
    Column("code_sealed", Text, nullable=False, server_default=""),
    # The last step of the second factor that was used; -1 while it waits for its first code.
    Column("code_step", BigInteger, nullable=False, server_default="0"),
    # Who it is for the identity provider, once they came by it: names are given anew there, subjects are not.
    Column("subject", PlainText, nullable=False, server_default=""),
    Column("invitation", LargeBinary),
    Column("invited_until", BigInteger, nullable=False, server_default="0"),
    Column("signed_in_at", BigInteger, nullable=False, server_default="0"),
    Index("person_name", "name", unique=True),
    Index("person_invitation", "invitation"),
)

# Accounts of the directory by which people come, by their security identifier: no other account ever gets it.
person_account = Table(
    "person_account",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("person_id", UuidText, nullable=False),
    # The group that they have their role from; empty for somebody who is nobody any more.
    Column("group_name", PlainText, nullable=False),
    # When the directory was last asked about it.
    Column("read_at", BigInteger, nullable=False),
    Index(None, "person_id", unique=True),
)

# Browser sessions, by the hash of what is in the cookie. One that has ended is no row.
person_session = Table(
    "person_session",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("id", UuidText, nullable=False),
    Column("person_id", UuidText, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("proved_at", BigInteger, nullable=False),
    Column("address", PlainText, nullable=False),
    Index(None, "id"),
    Index(None, "person_id"),
    Index(None, "begun_at", "id"),
)

# Searches for endpoints, by whose they are: the id of a person, empty for the local socket.
saved_search = Table(
    "saved_search",
    metadata,
    Column("owner", PlainText, primary_key=True),
    Column("name", PlainText, primary_key=True),
    Column("query", JsonText, nullable=False),
    Column("saved_at", BigInteger, nullable=False),
)

# API tokens, by their hash.
api_token = Table(
    "api_token",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("id", UuidText, nullable=False),
    Column("person_id", UuidText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("scopes", JsonText, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False, server_default="0"),
    Column("revoked_at", BigInteger),
    Index(None, "id"),
    Index(None, "person_id"),
)

# Sign-ins that failed, by the hash of what they are counted for (core.throttle).
sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index(None, "last_at"),
)

# Wrong passwords in a row that the directory was shown, by the hash of the account: never more than it has accounts.
directory_try = Table(
    "directory_try",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index(None, "last_at"),
)

# Acts that wait for a second person. The digest of the request is sealed: there may be a passphrase in it.
approval = Table(
    "approval",
    metadata,
    Column("id", UuidText, primary_key=True),
    Column("asked_at", BigInteger, nullable=False),
    Column("asked_by", PlainText, nullable=False),
    Column("permission", Text, nullable=False),
    Column("what", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False, server_default="0"),
    Column("decided_by", PlainText, nullable=False, server_default=""),
    Column("digest_sealed", Text, nullable=False),
    Index(None, "asked_at", "id"),
)

# Public keys of people's authenticators (WebAuthn), by the id that each gave itself.
passkey = Table(
    "passkey",
    metadata,
    Column("credential", LargeBinary, primary_key=True),
    Column("id", UuidText, nullable=False),
    Column("person_id", UuidText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False, server_default="0"),
    Index(None, "id"),
    Index(None, "person_id"),
)

# Idempotency keys of writes, with the answers: request and answer are sealed, there may be secrets in both.
kept_answer = Table(
    "kept_answer",
    metadata,
    # Of the caller and the key.
    Column("hash", LargeBinary, primary_key=True),
    Column("claimed_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Index(None, "claimed_at"),
)
