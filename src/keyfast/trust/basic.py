"""Basic authentication (RFC 7617) with the name of a domain account."""

from base64 import b64decode
from typing import NamedTuple

from keyfast.core.secret import Secret

MAX_CHARS = 4096
"""Characters of the header value."""
_MAX_NAME = 256
_SCHEME = "basic"
_CONTROLS = frozenset(map(chr, (*range(32), 127)))


class Credentials(NamedTuple):
    """Who somebody says to be.

    Attributes:
        domain: as given, in the NetBIOS form or the DNS form; empty if none was.
        name: logon name.
        password: never empty.
    """

    domain: str
    name: str
    password: Secret


def read(header_value: str) -> Credentials | None:
    r"""Read the value of an ``Authorization`` header with the scheme ``Basic``.

    The name is ``CORP\name``, ``name@domain`` or ``name``. An empty password is refused here: some
    directories take one for an anonymous bind and say that it succeeded (RFC 4513 section 5.1.2).

    Returns:
        None when it is not Basic, not well-formed (UTF-8, no control characters), or lacks name or password.
    """
    scheme, _, encoded = header_value.partition(" ")
    if len(header_value) > MAX_CHARS or scheme.lower() != _SCHEME:
        return None
    try:
        text = b64decode(encoded.strip(" "), validate=True).decode("utf-8")
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    domain, name = _split(user)
    if not (colon and name and password) or len(name) > _MAX_NAME or len(domain) > _MAX_NAME:
        return None
    if not _CONTROLS.isdisjoint(text):
        return None
    return Credentials(domain, name, Secret(password.encode()))


def _split(user: str) -> tuple[str, str]:
    """Return domain and name; the name is empty where the two cannot be told apart."""
    if "\\" in user:
        domain, _, name = user.partition("\\")
        return domain, "" if "\\" in name or not domain else name
    name, at, domain = user.rpartition("@")
    if at:
        return domain, name if domain else ""
    return "", user
