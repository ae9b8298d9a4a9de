"""Authentication modes and the mechanisms of HTTP authentication behind them."""

from enum import StrEnum

import msgspec


class Mode(StrEnum):
    """How endpoints authenticate to the web access server."""

    WINDOWS = "windows"
    OAUTH = "oauth"
    ANONYMOUS = "anonymous"


class Mechanism(StrEnum):
    """How a Windows logon travels (RFC 4559, MS-NTHT, RFC 7617)."""

    KERBEROS = "kerberos"
    NTLM = "ntlm"
    BASIC = "basic"


SCHEMES: dict[Mechanism, str] = {
    Mechanism.KERBEROS: "Negotiate",
    Mechanism.NTLM: "NTLM",
    Mechanism.BASIC: "Basic",
}
"""HTTP authentication scheme by which a server offers each mechanism, strongest first."""


class Modes(msgspec.Struct, frozen=True):
    """Which modes are open.

    Attributes:
        rows: (ring, mode) of every open mode; the ring "" stands for every ring without rows of its own.
    """

    rows: frozenset[tuple[str, Mode]]

    def open_for(self, ring: str) -> frozenset[Mode]:
        """Return the modes open for the endpoints of a ring."""
        own = frozenset(mode for name, mode in self.rows if name == ring)
        return own or frozenset(mode for name, mode in self.rows if not name)

    def everywhere(self, mode: Mode) -> bool:
        """Tell whether a mode is open for every ring, so that nobody's ring need be looked up."""
        return all(mode in self.open_for(ring) for ring in {"", *(name for name, _ in self.rows)})

    def anywhere(self, mode: Mode) -> bool:
        """Tell whether a mode is open for at least one ring."""
        return any(found is mode for _, found in self.rows)
