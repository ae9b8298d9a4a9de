"""Who calls the admin API, and what stands against what they ask for. Times are unix seconds."""

from enum import StrEnum

import msgspec

from keyfast.core.person import Person
from keyfast.core.role import DANGEROUS, MEANING, Permission, Role

FRESH = 5 * 60
"""Seconds for which a proof of who one is counts for dangerous acts."""
MAX_REASON = 300


class WayIn(StrEnum):
    """How a caller came in."""

    SOCKET = "socket"
    TOKEN = "token"  # noqa: S105 - a name, not a secret
    SESSION = "session"


class Caller(msgspec.Struct, frozen=True):
    """Somebody who speaks to the admin API.

    Attributes:
        scopes: what an API token is limited to; None for everything that the person may do.
        proved_at: when a person in a browser last proved who they are.
        credential: id of the API token or session, empty on the socket; for the record, it opens nothing.
        reason: why, in the caller's words, if they said.
    """

    person: Person
    via: WayIn
    scopes: frozenset[Permission] | None = None
    proved_at: int = 0
    credential: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """What audit entries say."""
        return self.person.name

    def may(self, permission: Permission, ring: str | None = None) -> bool:
        """Tell whether this caller may do something; ``ring`` if it is about one ring's endpoint or package."""
        return (self.scopes is None or permission in self.scopes) and self.person.may(permission, ring)


LOCAL = Caller(Person("", "local administrator", Role.ADMINISTRATOR), WayIn.SOCKET)
"""Whoever may open the local socket: its directory belongs to the server's user alone."""


def denial(caller: Caller, permission: Permission) -> str | None:
    """Say why a caller may not do what needs ``permission``, None if they may."""
    wanted = f"'{permission}' ({MEANING[permission]})"
    if permission not in caller.person.permissions:
        limit = " for some rings" if caller.person.rings else ""
        return f"the role {caller.person.role}{limit} does not include {wanted}"
    if not caller.may(permission):
        return f"this API token does not include {wanted}"
    return None


def unproved(caller: Caller, permission: Permission, now: int) -> bool:
    """Tell whether somebody in a browser must prove again who they are before this.

    On the socket the operating system has told who it is, and an API token names each dangerous permission that
    it was given: neither can be asked for a password.
    """
    if caller.via is not WayIn.SESSION or permission not in DANGEROUS:
        return False
    return not is_fresh(caller.proved_at, now)


def is_fresh(proved_at: float, now: float) -> bool:
    """Tell whether a proof of who somebody is still counts for dangerous acts."""
    return proved_at <= now < proved_at + FRESH


def reason_fault(reason: str) -> str | None:
    """Say what is wrong with a typed reason, None if nothing is."""
    if not reason.strip():
        return "this needs a reason, in your own words"
    if not reason.isprintable():
        return "a reason is one line of printable text"
    return f"a reason has at most {MAX_REASON} characters" if len(reason) > MAX_REASON else None
