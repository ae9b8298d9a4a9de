"""What a directory knows of an account, and the port through which the server asks.

An account's health is read from its attributes, never found out by trying its password: a wrong
password counts toward the lockout. Only ``prove`` tries one, when an administrator adds an account and
when a changed password must be told from a restored one. Times are unix seconds.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from keyfast.core.secret import Secret


def account_key(domain: str, name: str) -> str:
    r"""Return the key of an account, ``DOMAIN\name``: logon names do not distinguish case."""
    return f"{domain.upper()}\\{name.lower()}"


class Group(msgspec.Struct, frozen=True):
    """A group an account is in, directly or through others.

    Attributes:
        sid: security identifier (MS-DTYP 2.4.2.1), for example ``S-1-5-21-1-2-3-512``.
        name: distinguished name, empty where only the SID is known.
    """

    sid: str
    name: str = ""


class AccountReading(msgspec.Struct, frozen=True):
    """One account as one domain controller had it at one moment.

    Attributes:
        server: name of the domain controller.
        read_at: when it was read.
        exists: whether it has the account; everything below is empty if not.
        name: logon name (sAMAccountName) as the directory spells it.
        password_stamp: ``pwdLastSet`` as stored (100 ns since 1601): equal stamps are the same password.
        password_set_at: the same moment in unix seconds, 0 when the password must be changed at next logon.
        password_expires_at: when it expires by the policy in force for this account, None for never.
        password_expired: the directory itself says that it has expired.
        must_change: it must be changed at the next logon.
        never_expires: "password never expires" is set.
        disabled: the account is switched off.
        locked: it is locked out now.
        locked_at: when it was last locked, 0 for never; not proof of a lock that still holds.
        expires_at: when the account itself expires, None for never.
        bad_passwords: wrong passwords counted by this domain controller (``badPwdCount``).
        lockout_threshold: wrong passwords that lock it, 0 for never, None where it could not be read.
        policy: name of the fine-grained password policy in force, empty for the domain's.
        groups: every group, nested ones included, except Domain Users and the built-in Users.
        admin_count: the directory protects it as a member of an administrative group.
        delegation: it is trusted for delegation.
        service_names: service principal names registered for it.
        hours_restricted: logon hours are restricted.
        workstations: computers it may log on to; empty for all.
        person: attributes set that only people's accounts have, for example ``mail``.
        last_logon_at: last logon this domain controller saw, 0 for never.
    """

    server: str
    read_at: int
    exists: bool
    name: str = ""
    password_stamp: int = 0
    password_set_at: int = 0
    password_expires_at: int | None = None
    password_expired: bool = False
    must_change: bool = False
    never_expires: bool = False
    disabled: bool = False
    locked: bool = False
    locked_at: int = 0
    expires_at: int | None = None
    bad_passwords: int = 0
    lockout_threshold: int | None = None
    policy: str = ""
    groups: tuple[Group, ...] = ()
    admin_count: bool = False
    delegation: bool = False
    service_names: tuple[str, ...] = ()
    hours_restricted: bool = False
    workstations: tuple[str, ...] = ()
    person: tuple[str, ...] = ()
    last_logon_at: int = 0


class Unreachable(msgspec.Struct, frozen=True):
    """A domain controller that could not be read.

    Attributes:
        server: its name.
        read_at: when it was tried.
        reason: one sentence, no secrets.
    """

    server: str
    read_at: int
    reason: str


class Logon(StrEnum):
    """What a directory says to a name and a password."""

    GRANTED = "granted"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a name; also what an unknown account and a stale password look like
    EXPIRED = "expired"
    MUST_CHANGE = "must_change"
    DISABLED = "disabled"
    LOCKED = "locked"
    ACCOUNT_EXPIRED = "account_expired"
    HOURS = "hours"
    WORKSTATION = "workstation"
    OTHER = "other"


class Directory(Protocol):
    """A directory of accounts. Failures to reach it are NotReadyError, never a verdict on the account."""

    @property
    def domain(self) -> str:
        """Short (NetBIOS) name of its domain, upper case."""
        ...

    @property
    def grace_s(self) -> int:
        """Seconds for which it still grants the previous password after a change (over NTLM and simple binds)."""
        ...

    async def read(self, name: str) -> tuple[AccountReading | Unreachable, ...]:
        """Read an account (by logon name, without the domain) from every domain controller."""
        ...

    async def verify(self, name: str, password: Secret) -> Logon:
        """Try a name and a password, as Basic authentication needs it.

        A directory may grant the previous password for a while after a change (Active Directory: 60 minutes).

        Raises:
            NotReadyError: no domain controller could be asked.
        """
        ...

    async def prove(self, name: str, password: Secret) -> Logon:
        """Try a name and a password so that only the *current* password is granted.

        Raises:
            NotReadyError: no domain controller could be asked.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class PasswordDirectory(Directory, Protocol):
    """A directory in which this server may be allowed to set passwords."""

    @property
    def can_reset_password(self) -> bool:
        """Whether it can be tried at all; whether it is allowed is found out by trying."""
        ...

    async def reset_password(self, name: str, password: Secret) -> None:
        """Set an account's password, as an administrator does; may be done twice.

        Raises:
            NotFoundError: there is no such account.
            ConflictError: the directory does not let this server do it, or does not take such a password.
            NotReadyError: no domain controller could be asked.
        """
        ...
