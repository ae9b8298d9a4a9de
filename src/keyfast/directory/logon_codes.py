"""What Active Directory means by refusing a bind: one table.

The sub-code is in the diagnostic message of an ``invalidCredentials`` result, as ``data 52e`` (Windows error
numbers in hexadecimal). A wrong password hides every other trouble but a lockout.
"""

import re

from keyfast.core.directory import Logon

SUB_CODES: dict[int, Logon] = {
    0x525: Logon.WRONG_PASSWORD,  # no such user
    0x52E: Logon.WRONG_PASSWORD,
    0x530: Logon.HOURS,
    0x531: Logon.WORKSTATION,
    0x532: Logon.EXPIRED,
    0x533: Logon.DISABLED,
    0x701: Logon.ACCOUNT_EXPIRED,
    0x773: Logon.MUST_CHANGE,
    0x775: Logon.LOCKED,
}
_DATA = re.compile(r"\bdata ([0-9a-fA-F]{1,8})\b")


def of_refused_bind(text: str) -> Logon:
    """Return what the diagnostic message of an ``invalidCredentials`` result says; without a sub-code ``other``."""
    found = _DATA.search(text)
    return SUB_CODES.get(int(found[1], 16), Logon.OTHER) if found else Logon.OTHER
