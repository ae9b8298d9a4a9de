"""How fast sign-ins may be tried: slower after each failure, never locked. Times are unix seconds.

Failures are counted for the address, for the name, and for the name from the address. An address that has not failed
waits for nobody: whoever else tries a name, its owner gets in from elsewhere with the right password at once. A try
is counted before it is looked at and taken back when it was right, so that many at once are no way around.
"""

from enum import StrEnum
from ipaddress import IPv6Address, ip_address

import msgspec

LONGEST = 15 * 60
"""Seconds that one waits at most."""
FORGET = 24 * 3600
"""Seconds after the last failure in which it is forgotten."""
MOST = 30_000
"""Counts that are kept; beyond it the oldest are forgotten."""

DIRECTORY_TRIES = 3
"""Wrong passwords for one account that the directory is shown in a row. Thresholds at which domains lock accounts begin
at five: three leave the owner two of their own."""
DIRECTORY_REST = 3600
"""Seconds without a wrong one after which the row is over. Domains forget after ten to thirty minutes without one, so
ours are forgotten there before the next is shown."""

_IPV6_SITE = 64


class Counted(StrEnum):
    """What failures are counted for."""

    ADDRESS = "address"
    NAME = "name"
    PAIR = "pair"


FREE = {Counted.PAIR: 2, Counted.ADDRESS: 9, Counted.NAME: 19}
"""Failures that cost nothing: people mistype, and many share an address."""


class Failures(msgspec.Struct, frozen=True):
    """How often it failed, and when last."""

    count: int = 0
    last_at: int = 0

    def at(self, now: int) -> "Failures":
        """What is still remembered."""
        return Failures() if now >= self.last_at + FORGET else self

    def and_one(self, now: int) -> "Failures":
        """One more."""
        return Failures(self.at(now).count + 1, now)


NONE = Failures()


def subjects(name: str, address: str) -> dict[Counted, str]:
    """Return what a try by that name from that address is counted for; an IPv6 site (/64) is one address."""
    place = _place(address)
    return {Counted.ADDRESS: place, Counted.NAME: name, Counted.PAIR: f"{place} {name}"}


def wait(found: dict[Counted, Failures], now: int) -> int:
    """Return for how many seconds a try is not looked at; 0 for at once."""
    if not found.get(Counted.ADDRESS, NONE).at(now).count:
        return 0
    return max(_left(failures.at(now), FREE[counted], now) for counted, failures in found.items())


def rest(shown: Failures, now: int) -> int:
    """Return for how many seconds the directory is shown no password for an account; 0 for a try at once.

    Args:
        shown: wrong passwords in a row that it was shown, from wherever they came.
        now: unix seconds.
    """
    return 0 if shown.count < DIRECTORY_TRIES else min(DIRECTORY_REST, max(0, shown.last_at + DIRECTORY_REST - now))


def shown_again(shown: Failures, now: int) -> Failures:
    """Return the row with one more wrong password in it; the first of a new row if the last one is over."""
    return Failures(1 if now >= shown.last_at + DIRECTORY_REST else shown.count + 1, now)


def _left(failures: Failures, free: int, now: int) -> int:
    excess = failures.count - free
    if excess <= 0:
        return 0
    pause = min(LONGEST, 1 << min(excess, LONGEST.bit_length()))
    # A clock that went back must not make anybody wait for ever.
    return min(pause, max(0, failures.last_at + pause - now))


def _place(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
