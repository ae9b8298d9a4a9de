"""Bring an account into a real state: the directory's attributes are set, the controller then judges by them."""

import time
from collections.abc import Callable

from tests.support.samba_database import Database, DatabaseError
from tests.support.samba_policy import DAY, SECOND

NEVER = 0x7FFFFFFFFFFFFFFF
_EPOCH = 11_644_473_600  # 1601 to 1970, seconds
_DISABLED = 0x2
_NEVER_EXPIRES = 0x10000
_LOCKED = 0x10
# LDAP lets nobody write a date into pwdLastSet; with this control (DSDB_CONTROL_BYPASS_PASSWORD_HASH) Samba does.
_BACKDATE = "local_oid:1.3.6.1.4.1.7165.4.3.12:0"
_MOST_WRONG_TRIES = 30


def filetime(unix_seconds: float) -> int:
    """A moment as the directory writes it: 100 ns since 1601."""
    return int((unix_seconds + _EPOCH) * SECOND)


def set_state(database: Database, account: str, state: str, try_wrong_password: Callable[[], None]) -> None:
    """See ``Domain.state``. ``try_wrong_password`` is called until the controller has locked the account."""
    name, _, argument = state.partition(":")
    dn = database.dn(account)
    flags = int(_one(database, dn, "userAccountControl"))
    mortal = flags & ~_NEVER_EXPIRES
    match name:
        case "ok" | "never-expires":
            wanted = mortal & ~_DISABLED | (_NEVER_EXPIRES if name == "never-expires" else 0)
            database.modify(dn, userAccountControl=wanted, accountExpires=NEVER, lockoutTime=0)
            database.modify(dn, logonHours=None, userWorkstations=None)
            _password_age(database, dn, 0)
        case "age":
            _password_age(database, dn, float(argument) * DAY)
        case "expired" | "expiring":
            database.modify(dn, userAccountControl=mortal)
            _password_age(database, dn, _maximum_age(database, dn) - (float(argument) if argument else -1))
        case "must-change":
            database.modify(dn, userAccountControl=mortal, pwdLastSet=0)
        case "disabled":
            database.modify(dn, userAccountControl=flags | _DISABLED)
        case "account-expired":
            database.modify(dn, accountExpires=filetime(time.time() - 60))
        case "locked":
            _lock(database, dn, try_wrong_password)
        case "hours-none":
            database.modify(dn, logonHours="\0" * 21)
        case "workstations":
            database.modify(dn, userWorkstations="ELSEWHERE")
        case "deleted":
            database.ask("delete", dn=dn)
        case _:
            raise ValueError(f"unknown state {state!r}")


def _one(database: Database, dn: str, attribute: str, otherwise: str = "0") -> str:
    values: list[str] = database.ask("read", dn=dn).get(attribute, [otherwise])
    return values[0]


def _password_age(database: Database, dn: str, seconds: float) -> None:
    stamp = str(filetime(time.time() - seconds))
    database.ask("modify", dn=dn, values={"pwdLastSet": [stamp]}, control=_BACKDATE)


def _maximum_age(database: Database, dn: str) -> int:
    """How long the account's password lives, in seconds, by its own policy or the domain's."""
    pso = _one(database, dn, "msDS-ResultantPSO", "")
    where, attribute = (pso, "msDS-MaximumPasswordAge") if pso else (database.base, "maxPwdAge")
    age = -int(_one(database, where, attribute)) // SECOND
    if not DAY < age < 10**9:  # Samba takes a policy of a day or less as "never"
        raise DatabaseError(f"{attribute} of {where} lets passwords live for ever")
    return age


def _lock(database: Database, dn: str, try_wrong_password: Callable[[], None]) -> None:
    for _ in range(_MOST_WRONG_TRIES):
        if int(_one(database, dn, "msDS-User-Account-Control-Computed")) & _LOCKED:
            return
        try_wrong_password()
    raise DatabaseError(f"{_MOST_WRONG_TRIES} wrong passwords did not lock it: is the lockout threshold 0?")
