"""What winbind says to a logon, as the name of an NT status (MS-ERREF 2.3.1), in our words."""

import re
from enum import StrEnum

from keyfast.core.directory import Logon


class Trouble(StrEnum):
    """What is no verdict on an account."""

    OUTAGE = "outage"
    MALFORMED = "malformed"


_NAME = re.compile(r"\bNT_STATUS_[A-Z0-9_]{1,64}")
UNNAMED = "NT_STATUS not named"

VERDICTS: dict[str, Logon | Trouble] = {
    "NT_STATUS_LOGON_FAILURE": Logon.WRONG_PASSWORD,
    "NT_STATUS_WRONG_PASSWORD": Logon.WRONG_PASSWORD,
    "NT_STATUS_NO_SUCH_USER": Logon.WRONG_PASSWORD,
    "NT_STATUS_NOT_FOUND": Logon.WRONG_PASSWORD,  # Samba: the name was name@domain and the password wrong
    "NT_STATUS_PASSWORD_EXPIRED": Logon.EXPIRED,
    "NT_STATUS_PASSWORD_MUST_CHANGE": Logon.MUST_CHANGE,
    "NT_STATUS_ACCOUNT_DISABLED": Logon.DISABLED,
    "NT_STATUS_ACCOUNT_LOCKED_OUT": Logon.LOCKED,
    "NT_STATUS_ACCOUNT_EXPIRED": Logon.ACCOUNT_EXPIRED,
    "NT_STATUS_INVALID_LOGON_HOURS": Logon.HOURS,
    "NT_STATUS_INVALID_WORKSTATION": Logon.WORKSTATION,
    "NT_STATUS_ACCOUNT_RESTRICTION": Logon.OTHER,
    "NT_STATUS_AUTHENTICATION_FIREWALL_FAILED": Logon.OTHER,
    "NT_STATUS_LOGON_NOT_GRANTED": Logon.OTHER,
    "NT_STATUS_LOGON_TYPE_NOT_GRANTED": Logon.OTHER,
    "NT_STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT": Logon.OTHER,
    "NT_STATUS_NOLOGON_SERVER_TRUST_ACCOUNT": Logon.OTHER,
    "NT_STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT": Logon.OTHER,
    "NT_STATUS_NTLM_BLOCKED": Logon.OTHER,
    "NT_STATUS_SMARTCARD_LOGON_REQUIRED": Logon.OTHER,
    "NT_STATUS_INVALID_PARAMETER": Trouble.MALFORMED,
}
"""Everything else is an outage: only what surely speaks of the account may be held against it."""

_JOIN = "net ads join"
_REACH = "systemctl status winbind; wbinfo --ping-dc; the server's user must be in the group winbindd_priv"
REPAIR = "systemctl status winbind; wbinfo --ping-dc"
REPAIRS: dict[str, str] = {
    "NT_STATUS_ACCESS_DENIED": _REACH,
    "NT_STATUS_UNSUCCESSFUL": _REACH,  # also what a missing socket looks like
    "NT_STATUS_NO_TRUST_SAM_ACCOUNT": _JOIN,
    "NT_STATUS_NO_TRUST_LSA_SECRET": _JOIN,
    "NT_STATUS_TRUSTED_RELATIONSHIP_FAILURE": _JOIN,
}
"""What helps against some outages, where ``REPAIR`` does not say enough."""


def status_of(text: str) -> str:
    """Return the name of the status in what a helper said; nothing else of it is passed on."""
    found = _NAME.search(text)
    return found.group() if found else UNNAMED


def verdict_of(status: str) -> Logon | Trouble:
    """Return what a status means."""
    return VERDICTS.get(status, Trouble.OUTAGE)
