"""People who sign in by an account of the directory: what they are here follows from the groups they are in.

Pure: which of several groups counts, whose account a typed name means, and what ends somebody's time here. Times are
unix seconds.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from keyfast.core.account import is_over
from keyfast.core.directory import AccountReading, Logon
from keyfast.core.role import Role, permissions
from keyfast.core.secret import Secret

MAX_GROUPS = 64
"""Groups that the settings may name: each is looked up at every sign-in."""
MAX_RINGS = 64
LOOK_EVERY = 5 * 60
"""Seconds after which the directory is asked again about somebody who is here, when they next do something."""

PASSWORD_WAS_RIGHT = frozenset(
    {Logon.EXPIRED, Logon.MUST_CHANGE, Logon.DISABLED, Logon.ACCOUNT_EXPIRED, Logon.HOURS, Logon.WORKSTATION}
)
"""What a directory says to the right password only, and so does not count toward a lockout."""


class GroupRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the members of a group are here.

    Attributes:
        name: distinguished name or logon name (sAMAccountName) of the group.
        rings: the rings they answer for; empty for all of them and the installation itself.
    """

    name: str
    role: Role
    rings: tuple[str, ...] = ()


class Member(msgspec.Struct, frozen=True):
    """An account, and which of some groups it is in.

    Attributes:
        reading: how the account is; it may not exist.
        sid: its security identifier, which no other account ever gets; empty if it does not exist.
        groups: those of the groups asked about that it is in, directly, through others, or as its primary group.
        unknown: those that the directory does not have.
    """

    reading: AccountReading
    sid: str = ""
    groups: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class GroupDirectory(Protocol):
    """A directory that knows groups. Failures to reach it are NotReadyError, never a verdict."""

    async def member(self, groups: Sequence[str], *, name: str = "", sid: str = "") -> Member:
        """Read an account, by its logon name or its security identifier, and which of ``groups`` it is in.

        Raises:
            NotReadyError: no domain controller could be asked, or the reader may not read the groups.
        """
        ...

    async def verify(self, name: str, password: Secret) -> Logon:
        """See ``core.directory.Directory``."""
        ...


class Loss(StrEnum):
    """Why somebody is nobody here any more."""

    MISSING = "missing"
    DISABLED = "disabled"
    EXPIRED = "expired"
    NO_GROUP = "no group"


def strongest(groups: Sequence[GroupRole], held: Collection[str]) -> GroupRole | None:
    """Return which of several groups counts for a member of those in ``held``; None for a member of none.

    The one that gives the most: most permissions, then all rings before some, then more rings; of equal ones the
    first. Groups are never added up, so that one line of the settings says what somebody is.
    """
    return max((group for group in groups if group.name in held), key=_weight, default=None)


def _weight(group: GroupRole) -> tuple[int, bool, int]:
    allowed = permissions(group.role, ringed=bool(group.rings))
    return len(allowed), not group.rings, len(set(group.rings))


def loss(member: Member, group: GroupRole | None, now: int) -> Loss | None:
    """Say why somebody who is here is nobody any more, None if they are somebody.

    A lock does not end it: whoever types wrong passwords would send people away. Nor does a password that has
    expired: it was proved when it had not.
    """
    reading = member.reading
    causes = (
        (Loss.MISSING, not reading.exists),
        (Loss.DISABLED, reading.disabled),
        (Loss.EXPIRED, is_over(reading.expires_at, now)),
        (Loss.NO_GROUP, group is None),
    )
    return next((cause for cause, holds in causes if holds), None)


class DomainNames(msgspec.Struct, frozen=True):
    """What the directory's domain is called.

    Attributes:
        domain: short (NetBIOS) name, upper case.
        realm: Kerberos realm, upper case; empty if that is not known.
    """

    domain: str
    realm: str = ""

    def account_of(self, typed: str) -> str | None:
        r"""Return the logon name in ``DOMAIN\name`` or ``name@realm``; None for what is no account of this domain."""
        domain, slash, name = typed.strip().partition("\\")
        if slash:
            return name if domain.upper() == self.domain and name else None
        name, _, realm = typed.strip().rpartition("@")
        return name if realm.upper() in {self.domain, self.realm} - {""} and name else None

    def person_of(self, account: str) -> str:
        """Return what somebody with an account is called here: no backslash, as browsers make a slash of one."""
        return f"{account}@{self.realm or self.domain}".lower()


def former_name(name: str, sid: str) -> str:
    """Return what somebody is called whose name another account has been given since."""
    return f"{name}~{sid.rpartition('-')[2]}"
