"""Authentication modes and the mechanisms of HTTP authentication behind them."""

from enum import StrEnum


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
