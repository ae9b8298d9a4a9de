"""Column types that look the same from Python on SQLite and PostgreSQL."""

import uuid
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

REPLACEMENT = "\ufffd"

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A rising number made by the database; SQLite only numbers INTEGER keys."""


def storable(text: str) -> str:
    """Return ``text`` without NUL, which PostgreSQL cannot hold and an endpoint may well send."""
    return text.replace("\0", REPLACEMENT) if "\0" in text else text


class UuidText(TypeDecorator[str]):
    """A UUID, canonical text in Python; 16 bytes on SQLite, ``uuid`` on PostgreSQL."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the native type where there is one."""
        native = postgresql.UUID(as_uuid=False) if dialect.name == "postgresql" else LargeBinary(16)
        return dialect.type_descriptor(native)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """Raise ValueError for text that is no UUID."""
        if value is None or dialect.name == "postgresql":
            return value
        return uuid.UUID(value).bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return the canonical text."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return str(value)
        return str(uuid.UUID(bytes=value))


class JsonText(TypeDecorator[dict[str, Any]]):
    """A JSON object kept as text: it is never searched by its content."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encode with sorted members, so that equal objects are equal text."""
        return None if value is None else msgspec.json.encode(value, order="deterministic").decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        """Decode."""
        return None if value is None else msgspec.json.decode(value, type=dict[str, Any])


class PlainText(TypeDecorator[str]):
    """Text that an endpoint or a person sent (see ``storable``), ordered by code point on both databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask PostgreSQL for the order that SQLite has."""
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace what cannot be stored."""
        return None if value is None else storable(value)
