"""Addresses of domain controllers, as written in the settings."""

from urllib.parse import urlsplit

import msgspec

from keyfast.errors import UsageError

_PORTS = {"ldap": 389, "ldaps": 636}


class Address(msgspec.Struct, frozen=True):
    """Where a domain controller listens.

    Attributes:
        host: name or IP address; what its certificate must say.
        port: TCP port.
        tls: TLS begins with the first byte (``ldaps``); else it is asked for (StartTLS) or Kerberos seals.
    """

    host: str
    port: int
    tls: bool

    @property
    def name(self) -> str:
        """How the domain controller is called; with the port where it is not the usual one."""
        return self.host if self.port in _PORTS.values() else f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """Read ``ldaps://host[:port]`` or ``ldap://host[:port]``.

    Raises:
        UsageError: it is something else.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in _PORTS or not parts.hostname or not bare:
        raise UsageError(f"{url!r} is not the address of a domain controller", repair="write ldaps://dc1.example.com")
    return Address(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "ldaps")
