"""A recovery window: for a time, Anonymous is open to some endpoints at some addresses, for recovery only.

One that is open ends in one of two ways: somebody closes it, which is refused while endpoints are missing,
or its deadline passes, which closes it for callers whoever is missing. At most one is open at a time.
"""

from collections.abc import Collection
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from keyfast.core import ids, machine
from keyfast.core.window_endpoint import Counts

SHORTEST = 5 * 60
LONGEST = 7 * 86_400
"""Seconds for which a window may be open."""
CLOSING = 15 * 60
"""Seconds before the deadline in which people are told that it is near."""
ANY = "any"
"""Instead of address ranges: from wherever."""
MAX_RANGES = 64
MAX_NAMED = 1000
MAX_REASON = 300
SHOWN = 20
"""Names in one sentence."""

_MAPPED_BITS = 96


class WindowState(StrEnum):
    """States of a recovery window."""

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"


class WindowEvent(StrEnum):
    """What happens to a recovery window."""

    CLOSED = "closed"
    EXPIRED = "expired"


S, E = WindowState, WindowEvent

TABLE: dict[tuple[WindowState, WindowEvent], WindowState] = {
    (S.OPEN, E.CLOSED): S.CLOSED,
    (S.OPEN, E.EXPIRED): S.EXPIRED,
}


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    r"""A recovery window. Times are unix seconds.

    Attributes:
        reason: why it was opened, in the opener's words.
        ranges: address ranges (CIDR) from which it admits, or ``("any",)``.
        account: it is for the endpoints of this account (``DOMAIN\name``); or
        ring: for those of this ring; or
        endpoints: for these (ids).
    """

    id: str
    opened_at: int
    opened_by: str
    deadline: int
    reason: str
    ranges: tuple[str, ...]
    account: str = ""
    ring: str = ""
    endpoints: tuple[str, ...] = ()


def step(state: WindowState, event: WindowEvent) -> WindowState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "recovery window", state, event)


def is_over(window: Window, now: int) -> bool:
    """Tell whether the deadline has passed; at the deadline itself it has."""
    return now >= window.deadline


def is_closing(window: Window, now: int) -> bool:
    """Tell whether the deadline is near; never for a window that is open for no longer than that."""
    return window.deadline - CLOSING <= now and window.opened_at < window.deadline - CLOSING


def covers(window: Window, endpoint_id: str, ring: str, address: str, now: int, *, account: str = "") -> bool:
    """Tell whether the window admits an endpoint.

    Args:
        window: an open one.
        endpoint_id: id of the endpoint, as it is on record.
        ring: ring on record.
        address: where the request comes from, in text.
        now: server time.
        account: account on record, for windows that are for an account.
    """
    return admits(window, address, now) and holds(window, endpoint_id, ring, account)


def admits(window: Window, address: str, now: int) -> bool:
    """Tell whether the window is open now to that address, for whomever it is."""
    return window.opened_at <= now and not is_over(window, now) and _from_there(window, address)


def holds(window: Window, endpoint_id: str, ring: str, account: str) -> bool:
    """Tell whether an endpoint is one of those that the window is for."""
    if window.endpoints:
        return endpoint_id in window.endpoints
    if window.ring:
        return ring == window.ring
    return bool(account) and account == window.account


def opening_fault(window: Window) -> str | None:
    """Say what is wrong with a window that somebody wants to open, None if nothing is."""
    length = window.deadline - window.opened_at
    rules = (
        (not window.reason.strip(), "a recovery window needs a reason"),
        (not window.reason.isprintable(), "a reason is one line of printable text"),
        (len(window.reason) > MAX_REASON, f"a reason has at most {MAX_REASON} characters"),
        (not SHORTEST <= length <= LONGEST, "a recovery window is open for 5 minutes to 7 days"),
    )
    found = next((sentence for broken, sentence in rules if broken), None)
    return found or _ranges_fault(window.ranges) or _set_fault(window)


def may_close(
    counts: Counts, missing: Collection[str], waived: Collection[str], typed: int | None = None
) -> str | None:
    """Say why a window cannot be closed yet, None if it can.

    Args:
        counts: endpoints by state.
        missing: names of those that are not proven, as far as they were read.
        waived: names that the administrator gives up on.
        typed: the number of unproven endpoints, as the administrator typed it; None if not.
    """
    left = counts.unproven
    if left in (0, typed):
        return None
    if typed is not None:
        return f"{left} endpoints are not proven, not {typed}: look again before you close it over them"
    named = [name for name in missing if name not in waived]
    beyond = max(0, left - len(missing))
    if not named and not beyond:
        return None
    shown = ", ".join(sorted(named)[:SHOWN])
    more = len(named) - min(len(named), SHOWN) + beyond
    tail = f" and {more} more" if shown and more else f"{more} that were not listed" if more else ""
    return f"{left} of its endpoints are not proven; still missing: {shown}{tail}"


def canonical_range(text: str) -> str | None:
    """Return an address range in canonical form, IPv4 written as IPv4; None for one that is none.

    ``any`` stays; ranges that hold every address are not ranges: who means that says ``any``.
    """
    if text == ANY:
        return ANY
    network = _network(text)
    return None if network is None or network.prefixlen == 0 else str(network)


def banner(window: Window | None, restored_at: int, now: int) -> str:
    """What is told with every answer while something extraordinary holds, empty if nothing does."""
    told = []
    if window is not None and not is_over(window, now):
        minutes = max(1, (window.deadline - now) // 60)
        told.append(f"recovery window open for another {minutes} min ({window.reason})")
    if restored_at:
        told.append("this server went back in time: nothing is retired or erased (keyfast server end-recovery)")
    return "; ".join(told)


def _from_there(window: Window, address: str) -> bool:
    if ANY in window.ranges:
        return True
    found = _address(address)
    if found is None:
        return False
    networks = (_network(text) for text in window.ranges)
    # An address of the other family is never in a network.
    return any(network is not None and found in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, without its zone; one that is IPv4 mapped into IPv6 is that IPv4 address."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        found = ip_network(text)
    except ValueError:
        return None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None or found.prefixlen < _MAPPED_BITS:
        return found
    return IPv4Network((mapped, found.prefixlen - _MAPPED_BITS))


def _ranges_fault(ranges: tuple[str, ...]) -> str | None:
    if not ranges:
        return "a recovery window needs at least one address range, or 'any'"
    if len(ranges) > MAX_RANGES:
        return f"a recovery window has at most {MAX_RANGES} address ranges"
    if ANY in ranges and len(ranges) > 1:
        return "either 'any' or address ranges, not both"
    wrong = next((text for text in ranges if canonical_range(text) is None), None)
    if wrong is None:
        return None
    return f"'{wrong}' is no address range like 192.0.2.0/24 or 2001:db8::/32 (for all addresses say 'any')"


def _set_fault(window: Window) -> str | None:
    if sum(map(bool, (window.account, window.ring, window.endpoints))) != 1:
        return "a recovery window is for the endpoints of one account, for one ring, or for named endpoints"
    if len(window.endpoints) > MAX_NAMED:
        return f"at most {MAX_NAMED} endpoints can be named; take their ring or their account"
    wrong = next((text for text in window.endpoints if ids.parse_endpoint_id(text) is None), None)
    return None if wrong is None else f"'{wrong}' is no endpoint id"
