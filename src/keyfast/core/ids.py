"""Typed identifiers. An endpoint id is a UUID in its canonical text form, everywhere."""

import re
import uuid
from typing import NewType

EndpointId = NewType("EndpointId", str)
InstallationId = NewType("InstallationId", str)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def endpoint_id(raw: bytes) -> EndpointId:
    """Make an endpoint id from 16 random bytes (RFC 9562, version 4)."""
    return EndpointId(str(uuid.UUID(bytes=raw, version=4)))


def parse_endpoint_id(text: str) -> EndpointId | None:
    """Return the id if ``text`` is one in canonical form, else None."""
    return EndpointId(text) if _UUID.match(text) else None
