"""Messages of the admin API about recovery windows."""

import msgspec

from keyfast.wire.admin import View

BANNER_HEADER = "keyfast-banner"
"""Percent-encoded UTF-8; with every answer of the admin API while something extraordinary holds."""


class WindowOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which recovery window to open.

    Attributes:
        reason: why.
        minutes: for how long.
        ranges: address ranges in CIDR form, or ``any`` alone.
        account: for the endpoints of this account; or
        ring: for those of this ring; or
        endpoints: for these (ids).
    """

    reason: str
    minutes: int
    ranges: tuple[str, ...]
    account: str = ""
    ring: str = ""
    endpoints: tuple[str, ...] = ()


class WindowClose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Close a recovery window.

    Attributes:
        window: id, empty for the one that is open.
        waive: names or ids of endpoints to close it over.
        despite_unproven: how many endpoints are not proven; closes it over all of them if that is right.
    """

    window: str = ""
    waive: tuple[str, ...] = ()
    despite_unproven: int | None = None


class WindowCounts(View, frozen=True):
    """Endpoints of a window by state."""

    unreached: int
    reached: int
    applied: int
    proven: int

    @property
    def unproven(self) -> int:
        """Those that are missing still."""
        return self.unreached + self.reached + self.applied


class WindowLine(View, frozen=True):
    """One recovery window. Times are unix seconds; ``closed_at`` is 0 while it is open."""

    id: str
    state: str
    reason: str
    opened_at: int
    opened_by: str
    deadline: int
    closed_at: int
    closed_by: str
    ranges: tuple[str, ...]
    account: str
    ring: str
    endpoints: int
    counts: WindowCounts


class WindowMember(View, frozen=True):
    """One endpoint of a window, ``since`` when it is in that state (unix seconds)."""

    id: str
    name: str
    state: str
    since: int


class WindowView(View, frozen=True):
    """A window with the endpoints that are missing still, those first that were never heard of.

    Attributes:
        missing: at most 100 of them; the counts say how many there are.
    """

    line: WindowLine
    missing: tuple[WindowMember, ...]
